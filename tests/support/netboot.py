"""A real dnsmasq in a network of its own, and small loaders that stand in for real ones."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

from deployer.netboot import menus, supervisor
from deployer.netboot.dnsmasq import KnownHost, Mode, Plan, Range, configuration, hosts_file
from deployer.netboot.events import Event, Parser
from deployer.netboot.loaders import standard
from deployer.netboot.rogue import Foreign, Watch
from deployer.netboot.supervisor import Ears, Health, Supervisor
from tests.support.live import until
from tests.support.netns import Namespace, Segment

URL = "http://10.77.0.1:8081"
OURS, THEIRS = "10.77.0.1", "10.77.0.2"
KNOWN, SECURE, STRANGER = "52:54:00:12:34:56", "52:54:00:12:34:57", "52:54:00:aa:bb:cc"
BIG = "snponly.efi"
# Seconds; nothing waits for it when all goes well, however busy this machine is.
PATIENCE = 40
_MENUS = {"grub/grub.cfg": menus.grub(URL, "exit\n"), "pxelinux.cfg/default": menus.pxelinux(URL)}


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that dnsmasq's account can enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="deployer-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def loaders_image(folder: Path, names: Collection[str] = ()) -> Path:
    """An image folder with these files, or all that Debian 12 has; one is as large as iPXE."""
    made = folder / "loaders"
    made.mkdir()
    files = []
    for name in sorted(names or standard()):
        content = (name.encode() + b"\n") * (9000 if name == BIG else 100)
        (made / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        files.append({"path": name, "size": len(content), "sha256": digest})
    facts = {"name": "loaders", "kind": "loaders", "arch": "all", "release": "12", "files": files}
    (made / "image.json").write_text(json.dumps(facts))
    return made


def plan(folder: Path, mode: Mode = Mode.FULL, **more: Any) -> Plan:
    """For the bridge of a `Segment`; makes the TFTP root too."""
    image = folder / "loaders"
    if not image.exists():
        loaders_image(folder)
    root, sizes = supervisor.prepare(folder / "br0", image, _MENUS)
    ranges = (Range(*map(IPv4Address, ("10.77.0.100", "10.77.7.250", "255.255.240.0"))),)
    made = Plan(
        interface="br0", address=IPv4Interface(f"{OURS}/20"), mode=mode, machine_url=URL,
        tftp_root=root, hosts_file=folder / "br0" / "hosts",
        lease_file=folder / "br0" / "leases" / "dnsmasq.leases", loaders=frozenset(sizes),
        ranges=ranges if mode is Mode.FULL else (),
    )  # fmt: skip
    return replace(made, **more)


HOSTS = [KnownHost(KNOWN), KnownHost(SECURE, secure_boot=True)]


class Server:
    """A dnsmasq with the configuration of `plan`, and what its lines tell."""

    def __init__(self, segment: Segment, plan: Plan) -> None:
        plan.hosts_file.write_text(hosts_file([KNOWN, SECURE], {}))
        config = plan.hosts_file.parent / "dnsmasq.conf"
        config.write_text(configuration(replace(plan, secure=frozenset([SECURE]))))
        self.plan, self.segment = plan, segment
        self.log = plan.hosts_file.parent / "log"
        with self.log.open("w") as log:
            self.process = segment.server.start("dnsmasq", f"--conf-file={config}", stderr=log)
        until(lambda: "TFTP root is" in self.log.read_text(), PATIENCE, self.log.read_text)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(5)

    def events(self) -> list[Event]:
        root = str(self.plan.tftp_root)
        sizes = {str(p.relative_to(root)): p.stat().st_size for p in Path(root).rglob("*.*")}
        parser = Parser(root, sizes)
        lines = self.log.read_text(errors="replace").splitlines()
        return [event for line in lines for event in parser.feed(line)] + parser.flush()


def another_server(
    network: Namespace, folder: Path, *lines: str, address: str = THEIRS
) -> subprocess.Popen[Any]:
    """Somebody else's DHCP server in `network`, behind its eth0."""
    network.ip("addr", "add", f"{address}/20", "dev", "eth0")
    config = folder / f"other-{address}.conf"
    config.write_text("\n".join([
        "port=0", "interface=eth0", "bind-interfaces", "keep-in-foreground", "pid-file=",
        "no-ping", "log-facility=-", f"dhcp-leasefile={folder}/other-{address}.leases",
        "dhcp-range=10.77.0.50,10.77.0.90,255.255.240.0,1h", *lines, "",
    ]))  # fmt: skip
    log = (folder / f"other-{address}.log").open("w")
    process = network.start("dnsmasq", f"--conf-file={config}", stderr=log)
    log.close()
    until(lambda: "sockets bound" in (folder / f"other-{address}.log").read_text(), PATIENCE)
    return process


@dataclass
class Supervised:
    """A supervisor in the server's namespace, and what it told."""

    supervisor: Supervisor
    known: list[KnownHost] = field(default_factory=lambda: list(HOSTS))
    events: list[Event] = field(default_factory=list)
    health: list[Health] = field(default_factory=list)
    foreign: list[Foreign] = field(default_factory=list)
    database_is_away: bool = False

    @property
    def pid(self) -> int | None:
        dnsmasq = self.supervisor._dnsmasq
        return dnsmasq.pid if dnsmasq and dnsmasq.exit_code() is None else None

    def problems(self) -> str:
        return "; ".join(self.supervisor.health().problems)

    def tells(self, events: list[Event]) -> None:
        if self.database_is_away:
            raise ConnectionError("the database is away")
        self.events += events

    def hosts(self) -> list[KnownHost]:
        if self.database_is_away:
            raise ConnectionError("the database is away")
        return self.known


@contextmanager
def supervised(
    segment: Segment,
    plan: Plan,
    fragment: Path | None = None,
    watch: Watch | None = None,
    ears: Ears | None = None,
) -> Iterator[Supervised]:
    """Runs until the end of the block, and has begun to serve at its begin."""
    from datetime import timedelta

    made: Supervised
    ears = ears or Ears(
        known=lambda: made.hosts(), happened=lambda events: made.tells(events),
        beat=lambda health: made.health.append(health),
        foreign=lambda found: made.foreign.append(found),
    )  # fmt: skip
    folder = plan.hosts_file.parent
    made = Supervised(Supervisor(
        plan, folder, ears, fragment, refresh=timedelta(seconds=0.3), watch=watch,
    ))  # fmt: skip
    thread = threading.Thread(target=lambda: segment.server.enter(made.supervisor.run), daemon=True)
    thread.start()
    try:
        until(lambda: made.pid, PATIENCE, "dnsmasq")
        until(lambda: _listens(segment.server), PATIENCE, "TFTP")
        yield made
    finally:
        made.supervisor.stop()
        thread.join(10)


def _listens(network: Namespace) -> bool:
    """Port 69 is bound in there."""
    table: str = network.call(lambda: Path("/proc/thread-self/net/udp").read_text())
    return any(line.split()[1].endswith(":0045") for line in table.splitlines()[1:])


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").exists() and bool(Path(f"/proc/{pid}/cmdline").read_bytes())


def in_threads(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]
