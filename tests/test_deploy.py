"""deploy/ says what is so: units, compose file and nginx's sites fit each other and the code.

That they work together is told in journeys/test_scaling_out.py.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from deployer.cli.root import app
from deployer.settings import PREFIX, Settings
from deployer.web import health
from tests.support.site import COMPOSE, compose

DEPLOY = COMPOSE.parent
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
CONFINED = [unit for unit in UNITS if "netboot" not in unit.name]
PROGRAM = "/opt/deployer/.venv/bin/deployer"
SITE = (DEPLOY / "nginx" / "replicas.conf").read_text(encoding="utf-8")
every_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
every_confined_unit = pytest.mark.parametrize("unit", CONFINED, ids=lambda unit: unit.name)


def accepted(words: list[str]) -> None:
    """Fails as the command line does when there is no such command or option."""
    command: Any = typer.main.get_command(app)
    command.commands[words[0]].make_context(words[0], words[1:])


def settings(environment: dict[str, str]) -> Settings:
    """Every one of these must be a setting of ours."""
    fields = {name.removeprefix(PREFIX).lower(): value for name, value in environment.items()}
    assert set(fields) <= set(Settings.model_fields)
    return Settings(**fields)  # type: ignore[arg-type]


# --- systemd --------------------------------------------------------------------------------------


def lines(unit: Path) -> list[tuple[str, str]]:
    """What the second instance of it is told."""
    text = unit.read_text(encoding="utf-8").replace("%i", "2").replace("%H", "here")
    return re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)


def environment(unit: Path) -> dict[str, str]:
    pairs = (value.partition("=") for key, value in lines(unit) if key == "Environment")
    return {name: value for name, _, value in pairs}


@every_unit
def test_a_unit_starts_a_command_that_there_is(unit: Path) -> None:
    (command,) = (value for key, value in lines(unit) if key == "ExecStart")
    example = re.search(r"NETBOOT_OPTIONS=(.*) in deployer.env", unit.read_text())
    words = shlex.split(command.replace("$NETBOOT_OPTIONS", example[1] if example else ""))
    assert words[0] == PROGRAM
    accepted(words[1:])


@every_unit
def test_a_unit_sets_settings_that_there_are(unit: Path) -> None:
    assert settings(environment(unit)).data_dir == Path("/var/lib/deployer")


def test_services_beside_each_other_have_ports_of_their_own() -> None:
    unit = DEPLOY / "systemd" / "deployer-serve@.service"
    second = settings(environment(unit))
    assert (second.listen, second.machine_listen) == ("127.0.0.1:8092", "127.0.0.1:8192")


def test_the_environment_file_names_settings_that_there_are() -> None:
    text = (DEPLOY / "systemd" / "deployer.env").read_text(encoding="utf-8")
    settings(dict(re.findall(r"^#?(DEPLOYER_\w+)=(.*)$", text, re.MULTILINE)))


@every_unit
@pytest.mark.skipif("not systemd()", reason="systemd is not installed")
def test_systemd_has_nothing_to_say_about_a_unit(unit: Path, tmp_path: Path) -> None:
    here = str(Path(sys.executable).with_name("deployer"))
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text(encoding="utf-8").replace(PROGRAM, here), encoding="utf-8")
    verified = analyze("verify", "--man=no", str(copy))
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


@every_confined_unit
@pytest.mark.skipif("systemd() < 250", reason="systemd is not installed, or too old to judge")
def test_a_unit_may_do_little(unit: Path) -> None:
    """From 0, nothing at all, to 100, everything; what is left is its network, mostly."""
    judged = analyze("security", "--offline=true", "--threshold=18", str(unit))
    assert judged.returncode == 0, judged.stdout


def systemd() -> int:
    """Its version, 0 where it is not installed."""
    if not shutil.which("systemd-analyze"):
        return 0
    found = re.match(r"systemd (\d+)", analyze("--version").stdout)
    return int(found[1]) if found else 0


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


def test_whoever_shares_the_data_is_confined_alike() -> None:
    own = {"Description", "Documentation", "ExecStart", "Environment", "LimitNOFILE"}
    first, *others = ([one for one in lines(unit) if one[0] not in own] for unit in CONFINED)
    assert all(sorted(first) == sorted(other) for other in others)


# --- the compose file -----------------------------------------------------------------------------


@pytest.fixture
def described() -> dict[str, Any]:
    return compose(DATABASE_PASSWORD="secret", MACHINE_URL="http://10.0.0.5:8081")


@pytest.fixture
def services(described: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = described["services"]
    return found


def replicas(services: dict[str, Any]) -> dict[str, Settings]:
    """What each of our own is told."""
    ours = {name: one for name, one in services.items() if one["image"].startswith("deployer:")}
    return {name: settings(one["environment"]) for name, one in ours.items()}


def address(services: dict[str, Any], name: str) -> str:
    found: str = services[name]["networks"]["default"]["ipv4_address"]
    return found


def test_two_serve_and_two_work(services: dict[str, Any]) -> None:
    ours = replicas(services)
    for name in ours:
        accepted(services[name]["command"])
    assert [services[name]["command"][0] for name in ours] == ["serve", "serve", "worker", "worker"]
    assert {name: one.worker_name for name, one in ours.items()} == {name: name for name in ours}
    url = f"postgresql://deployer:secret@{address(services, 'database')}/deployer"
    assert {one.database_url for one in ours.values()} == {url}
    assert {one.machine_url for one in ours.values()} == {"http://10.0.0.5:8081"}
    assert {one.trusted_proxies for one in ours.values()} == {address(services, "nginx")}


def test_every_volume_is_there_and_images_lie_where_they_are_looked_for(
    described: dict[str, Any], services: dict[str, Any]
) -> None:
    mounts = {
        (name, *mount.split(":")[:2]) for name, one in services.items() for mount in one["volumes"]
    }
    for _, source, _ in mounts:
        assert (DEPLOY / source).is_file() if source[0] == "." else source in described["volumes"]
    data = Settings(data_dir=Path("/var/lib/deployer"))
    for name in replicas(services):
        assert (name, "data", str(data.data_dir)) in mounts
        assert (name, "images", str(data.images_dir)) in mounts
    assert ("nginx", "images", str(data.images_dir)) in mounts
    image = (DEPLOY / "Dockerfile").read_text()
    assert f"DEPLOYER_DATA_DIR={data.data_dir}" in image and str(data.images_dir) in image


def test_nginx_asks_the_services_where_they_listen(services: dict[str, Any]) -> None:
    ours = replicas(services)
    for upstream, setting in ("deployer_machines", "machine_listen"), ("deployer_people", "listen"):
        block = re.search(rf"upstream {upstream} {{(.*?)}}", SITE, re.DOTALL)
        assert block and f"proxy_pass http://{upstream};" in SITE
        listening = {
            f"{address(services, name)}:{getattr(one, setting).rpartition(':')[2]}"
            for name, one in ours.items() if services[name]["command"][0] == "serve"
        }  # fmt: skip
        assert set(re.findall(r"server ([\d.:]+)", block[1])) == listening


def test_what_is_published_is_what_nginx_listens_on(services: dict[str, Any]) -> None:
    listens = sorted(re.findall(r"^ +listen (\d+);", SITE, re.MULTILINE))
    published = sorted(port.rpartition(":")[2] for port in services["nginx"]["ports"])
    assert published == listens == ["8080", "8081"]
    assert [name for name, one in services.items() if "ports" in one] == ["nginx"]
    assert any(port.startswith("127.0.0.1:") and port.endswith(":8080")
               for port in services["nginx"]["ports"])  # fmt: skip


def test_nginx_sends_the_files_that_it_is_told_to(services: dict[str, Any]) -> None:
    for one in replicas(services).values():
        folder = re.search(rf"location {one.accel_redirect}/ {{\s+internal;\s+alias (\S+)/;", SITE)
        assert folder and folder[1] == "/var/lib/deployer/images"


def test_fixed_addresses_are_not_given_to_others(
    described: dict[str, Any], services: dict[str, Any]
) -> None:
    (config,) = described["networks"]["default"]["ipam"]["config"]
    fixed = [ipaddress.ip_address(address(services, name)) for name in services
             if "networks" in services[name]]  # fmt: skip
    assert len(set(fixed)) == len(fixed) == 4
    for one in fixed:
        assert one in ipaddress.ip_network(config["subnet"])
        assert one not in ipaddress.ip_network(config["ip_range"])


def test_who_is_waited_for_says_when_it_is_well(services: dict[str, Any]) -> None:
    for one in services.values():
        for other, how in one.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"} and "healthcheck" in services[other]
    paths = {route.path for route in health.router.routes if hasattr(route, "path")}
    for name in ("nginx", "serve1", "serve2"):
        asked = re.search(r"http://127\.0\.0\.1:8080(/\w+)", str(services[name]["healthcheck"]))
        assert asked and asked[1] in paths


def test_compose_knows_every_word_of_the_file() -> None:
    """After compose-spec.json; an unknown key stops it before anything is started."""
    words = {
        "image", "pull_policy", "restart", "init", "read_only", "tmpfs", "cap_drop", "ports",
        "security_opt", "stop_grace_period", "depends_on", "volumes", "command", "environment",
        "networks", "healthcheck",
    }  # fmt: skip
    found = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    shown = {key for key in found if not key.startswith("x-")}
    assert shown == {"name", "services", "networks", "volumes"}
    assert all(set(one) <= words for one in found["services"].values())
    checks = [one["healthcheck"] for one in found["services"].values() if "healthcheck" in one]
    assert all(set(one) <= {"test", "interval", "timeout", "retries", "start_period"}
               for one in checks)  # fmt: skip


def test_the_image_is_made_of_what_is_here() -> None:
    image = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    root = DEPLOY.parent
    assert [root / source for source in re.findall(r"^COPY (\S+)", image, re.MULTILINE)] == [root]
    (made,) = re.findall(r"^RUN /opt/deployer/(\S+)", image, re.MULTILINE)
    assert (root / made).is_file()
    installed = re.findall(r"install --yes --no-install-recommends ([\w -]+?) *\\", image)
    listed = (root / "setup" / "packages.txt").read_text(encoding="utf-8")
    assert installed and all(name in listed for name in installed[0].split())
