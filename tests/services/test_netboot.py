"""What DHCP and TFTP saw, on the history of the right deployment, and what is made of it."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from deployer.netboot.dnsmasq import Mode, Plan
from deployer.netboot.events import Event, Kind
from deployer.netboot.loaders import standard
from deployer.netboot.rogue import Foreign
from deployer.netboot.supervisor import Health
from deployer.observe import registry
from deployer.services import deadlines, netboot
from tests.support.service import HOST, MAC, Service, ok

PLAN = Plan(
    "br0", IPv4Interface("10.0.0.5/24"), Mode.FULL, "http://10.0.0.5:8081", Path("/srv/tftp"),
    Path("/srv/hosts"), Path("/srv/leases"), standard(),
)  # fmt: skip
on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
WELL = Health((), {"dhcp_offer": 3}, 0)


def event(kind: Kind, **more: Any) -> Event:
    return Event(**{"kind": kind, "mac": MAC, "address": "10.0.0.7", "arch": 7, **more})


class Netboot:
    """A recorder whose machine is being booted."""

    def __init__(self, service: Service, **host: Any) -> None:
        service.knows(host)
        self.service, self.id = service, service.deploys()
        self.recorder = netboot.Recorder(service.parts, PLAN)
        self.recorder.hosts()

    def sees(self, *events: Event) -> None:
        self.recorder.happened(events)

    def lines(self, of: str = "netboot") -> list[dict[str, Any]]:
        return [line for line in self.service.history(self.id) if line["by"] == of]

    def first_cause(self) -> str:
        row = self.service.row(self.id)
        with self.service.parts.database.reading() as session:
            return deadlines.explanation(session, row, self.service.clock()).causes[0]


@pytest.fixture
def seen(service: Service) -> Netboot:
    return Netboot(service)


BOOT = [
    event(Kind.OFFER, file="snponly.efi"), event(Kind.ACK, file="snponly.efi"),
    event(Kind.ABORTED, arch=None), event(Kind.READ, arch=None, file="snponly.efi", size=173792),
    event(Kind.SCRIPT, ipxe=True, file="http://10.0.0.5:8081/boot.ipxe"),
]  # fmt: skip


def test_a_boot_reads_as_a_story_in_the_history(seen: Netboot) -> None:
    seen.sees(*BOOT)
    assert [(line["event"], line["detail"].get("file")) for line in seen.lines()] == [
        ("dhcp_offer", "snponly.efi"), ("dhcp_ack", "snponly.efi"), ("tftp_read", "snponly.efi"),
        ("dhcp_script", "http://10.0.0.5:8081/boot.ipxe"),
    ]  # fmt: skip
    assert seen.lines()[2]["detail"] == {
        "mac": MAC, "address": "10.0.0.7", "file": "snponly.efi", "size": 173792,
    }  # fmt: skip


@pytest.mark.slow
def test_firmware_that_repeats_itself_fills_no_history(seen: Netboot) -> None:
    for number in range(300):
        seen.sees(*BOOT, event(Kind.MISSING, arch=None, file=f"made-up-{number}"))
    again = netboot.Recorder(seen.service.parts, PLAN)
    again.hosts()
    again.happened(BOOT)
    kinds = [line["event"] for line in seen.lines()]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "dhcp_offer": 1, "dhcp_ack": 1, "tftp_read": 1, "dhcp_script": 1, "tftp_missing": 4,
    }  # fmt: skip


def test_strangers_running_systems_and_resting_hosts_leave_no_line(seen: Netboot) -> None:
    seen.sees(event(Kind.OFFER, mac="52:54:00:aa:bb:cc"), event(Kind.ACK, pxe=False),
              event(Kind.READ, mac=None))  # fmt: skip
    ok(seen.service.api.post(f"/api/v1/deployments/{seen.id}/cancel"))
    seen.sees(*BOOT)
    assert seen.lines() == []


def test_a_deployment_that_begins_later_misses_nothing(service: Service) -> None:
    seen = Netboot(service)
    ok(service.api.post(f"/api/v1/deployments/{seen.id}/cancel"))
    seen.sees(BOOT[0])
    seen.id = service.deploys()
    seen.sees(BOOT[0])
    assert [line["event"] for line in seen.lines()] == ["dhcp_offer"]


@on_sqlite
@pytest.mark.parametrize(
    ("host", "arch", "reason"),
    [
        ({}, 27, "there is no loader for client architecture 27 (RISC-V, 64 bit)"),
        ({"secure_boot": True}, 0, "a BIOS knows no Secure Boot"),
        ({"secure_boot": True}, 6, "nobody signs a loader for UEFI x86, 32 bit"),
    ],
)
@pytest.mark.parametrize("kind", [Kind.NO_FILE, Kind.PROXY])
def test_t029_a_machine_that_is_given_no_loader_has_the_reason_in_its_history(
    service: Service, host: dict[str, Any], arch: int, reason: str, kind: Kind
) -> None:
    seen = Netboot(service, **host)
    seen.sees(event(kind, arch=arch))
    (line,) = seen.lines()
    assert line["event"] == "dhcp_no_file"
    assert reason in line["detail"]["reason"]
    assert reason in seen.first_cause() and "PXE-E53" in seen.first_cause()


@on_sqlite
@pytest.mark.parametrize(
    ("events", "likely"),
    [
        ([], "not one DHCP question of it has come"),
        ([event(Kind.DISCOVER)], "nobody offers one (PXE-E51, PXE-E16)"),
        ([event(Kind.NO_ADDRESS)], "every address is given out"),
        ([event(Kind.IGNORED)], "not among the host's macs"),
        ([event(Kind.OFFER, file="snponly.efi")], "another DHCP server in this network answers"),
        ([event(Kind.PROXY)], "did not come (PXE-E55)"),
        ([event(Kind.PROXY_FILE, file="snponly.efi")], "never asked for the file: a firewall"),
        ([BOOT[0], BOOT[1]], "it has an address and the name snponly.efi, and never asked"),
        ([*BOOT[:2], event(Kind.MISSING, file="grubx64.efi")], "fetch grubx64.efi, which the TFTP"),
        ([*BOOT[:2], event(Kind.TIMEOUT, file="snponly.efi")], "UDP port 69 pass and not the high"),
        (BOOT[:4], "snponly.efi was read and does not start"),
        (BOOT, "iPXE runs and knows where the boot script is, and did not fetch it"),
    ],
)
def test_how_far_a_machine_came_is_the_first_cause(
    seen: Netboot, events: list[Event], likely: str
) -> None:
    netboot.beat(seen.service.parts, PLAN, WELL)
    seen.sees(*events)
    assert likely in seen.first_cause()


def test_without_a_netboot_nobody_says_that_no_question_came(seen: Netboot) -> None:
    assert "not switched on or not restarted" in seen.first_cause()


def test_the_cause_of_a_deployment_that_fails_tells_it_all(seen: Netboot) -> None:
    seen.sees(*BOOT[:2])
    seen.service.clock.forward(hours=5)
    seen.service.expire()
    assert "never asked for the file: a firewall before UDP port 69 (PXE-E32" in (
        seen.service.cause(seen.id)
    )


@pytest.mark.slow
def test_t028_a_foreign_server_is_a_line_on_every_booting_deployment_and_its_first_cause(
    service: Service,
) -> None:
    seen = Netboot(service)
    other = Foreign("10.0.0.66", "evil.efi", gives_addresses=True)
    for _ in range(10):
        netboot.foreign_server(service.parts, "br0", other)
    (line,) = seen.lines()
    assert line["event"] == "foreign_dhcp"
    assert line["detail"]["server"] == "10.0.0.66"
    assert "another DHCP server, 10.0.0.66, gives addresses here" in seen.first_cause()


# --- health ---------------------------------------------------------------------------------------


def ready(service: Service) -> dict[str, Any]:
    problems: dict[str, Any] = service.api.get("/readyz").json()["problems"]
    return {name: said for name, said in problems.items() if name == "netboot"}


def test_f054_readyz_names_a_netboot_that_fails_or_is_not_heard_of(service: Service) -> None:
    assert ready(service) == {}, "one that was never started is no problem"
    netboot.beat(service.parts, PLAN, WELL)
    assert ready(service) == {}
    netboot.beat(service.parts, PLAN, Health(("dnsmasq ended (exit code 2)",), {}, 3))
    assert "br0: dnsmasq ended (exit code 2)" in ready(service)["netboot"]
    netboot.beat(service.parts, PLAN, WELL)
    service.clock.forward(minutes=2)
    assert "not heard of for 120 s; is `deployer netboot` running?" in ready(service)["netboot"]
    answer = service.api.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (200, True), "we ourselves are well"
    netboot.leave(service.parts, PLAN)
    assert ready(service) == {}, "it was stopped on purpose"


@on_sqlite
def test_metrics_count_what_netboot_saw(service: Service) -> None:
    netboot.beat(service.parts, PLAN, WELL)
    ok_text = service.api.get("/metrics").text
    name = f"{service.parts.settings.worker_name}/br0"
    assert f'deployer_netboot_events{{kind="dhcp_offer",netboot="{name}"}} 3.0' in ok_text
    assert f'deployer_netboot_up{{netboot="{name}"}} 1.0' in generate_latest(registry).decode()
    service.clock.forward(seconds=netboot.STALE / timedelta(seconds=1) + 1)
    assert f'deployer_netboot_up{{netboot="{name}"}} 0.0' in service.api.get("/metrics").text


def test_the_hosts_of_dnsmasq_are_all_nics_of_all_hosts(service: Service) -> None:
    other = {"name": "web02", "macs": ["52:54:00:00:00:02", "52:54:00:00:00:03"]}
    recorder = netboot.Recorder(service.parts, PLAN)

    def known() -> dict[str, bool]:
        return {host.mac: host.secure_boot for host in recorder.hosts()}

    ok(service.api.post("/api/v1/hosts", json=HOST))
    assert known() == known() == {MAC: False}
    service.clock.forward(seconds=1)
    ok(service.api.post("/api/v1/hosts", json={**other, "secure_boot": True}))
    assert known() == {MAC: False, "52:54:00:00:00:02": True, "52:54:00:00:00:03": True}
    service.clock.forward(seconds=1)
    ok(service.api.patch("/api/v1/hosts/web01", json={"secure_boot": True}))
    assert known()[MAC]
    assert service.api.delete("/api/v1/hosts/web02").is_success
    assert known() == {MAC: True}
