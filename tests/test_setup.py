"""A fresh machine becomes one that can run this; and `make` offers what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LISTED = (ROOT / "setup/packages.txt").read_text()
WANTED = re.findall(r"^([a-z0-9.+-]+)", LISTED, re.MULTILINE)
LOCK = (ROOT / "requirements.lock").read_text()


class Debian:
    """A machine as the scripts see it: programs of its own stand before the real ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program("apt-get", 'echo "$*" >> "$FOLDER/calls"')
        self.program("apt-cache", r"printf 'python3.%s-venv\n' 9 11 13 12")
        self.runs_as(0)
        self.has(WANTED)

    def program(self, name: str, script: str) -> None:
        (self.folder / name).write_text(f"#!/bin/bash\n{script}\n")
        (self.folder / name).chmod(0o755)

    def runs_as(self, uid: int) -> None:
        self.program("id", f"echo {uid}")

    def has(self, packages: list[str]) -> None:
        lines = "".join(f"installed {name}\n" for name in packages)
        self.program("dpkg-query", f"printf '{lines}'\nprintf 'config-files removed-once\n'")

    def run(self, script: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder}:{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "FOLDER": str(self.folder), **variables}
        env["SETUP_POLICY"] = str(self.folder / "policy-rc.d")
        return subprocess.run([ROOT / script], env=env, capture_output=True, text=True, check=False)

    @property
    def apt(self) -> list[str]:
        """What apt-get was told, without its options."""
        calls = self.folder / "calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        return [re.sub(r"-o \S+ |-\S+ ", "", line) for line in lines]


@pytest.fixture
def debian(tmp_path: Path) -> Debian:
    return Debian(tmp_path)


# --- system packages --------------------------------------------------------------------------


@pytest.mark.slow
def test_a_machine_that_has_everything_is_left_alone(debian: Debian) -> None:
    done = debian.run("setup/packages")
    assert (done.returncode, done.stdout, done.stderr, debian.apt) == (0, "", "", [])


@pytest.mark.slow
def test_root_gets_exactly_what_is_missing(debian: Debian) -> None:
    debian.has([name for name in WANTED if name not in ("ovmf", "zstd")])
    done = debian.run("setup/packages")
    assert done.returncode == 0, done.stderr
    assert debian.apt == ["update", "install ovmf zstd"]


@pytest.mark.slow
def test_nothing_that_is_installed_is_started(debian: Debian) -> None:
    """Two packages are DHCP servers. What apt starts, it asks policy-rc.d about first."""
    debian.has([name for name in WANTED if name != "isc-dhcp-server"])
    asks = '[ "$6" = update ] || { "$FOLDER/policy-rc.d"; [ $? = 101 ]; }'
    debian.program("apt-get", asks)
    debian.program("systemctl", 'echo "$*" >> "$FOLDER/calls"')
    done = debian.run("setup/packages")
    assert done.returncode == 0, done.stderr
    assert debian.apt == ["disable isc-dhcp-server.service"]
    assert not (debian.folder / "policy-rc.d").exists()


def test_another_account_is_told_what_is_missing_and_how_to_get_it(debian: Debian) -> None:
    debian.runs_as(1000)
    debian.has([name for name in WANTED if name not in ("ovmf", "zstd")])
    done = debian.run("setup/packages")
    assert (done.returncode, debian.apt) == (1, [])
    assert done.stderr == (
        "setup: these packages are missing: ovmf zstd\n"
        "       run: sudo apt-get install --no-install-recommends ovmf zstd\n"
    )


def test_a_package_that_was_removed_is_missing_although_dpkg_remembers_it(debian: Debian) -> None:
    debian.runs_as(1000)
    debian.has([name for name in WANTED if name != "ovmf"])
    debian.program(
        "dpkg-query", (debian.folder / "dpkg-query").read_text() + "echo config-files ovmf"
    )
    assert "missing: ovmf\n" in debian.run("setup/packages").stderr


@pytest.mark.slow
def test_a_source_that_does_not_answer_stops_nothing(debian: Debian) -> None:
    debian.has([name for name in WANTED if name != "ovmf"])
    debian.program("apt-get", '[[ $* != *update* ]] && echo "$*" >> "$FOLDER/calls"')
    done = debian.run("setup/packages")
    assert (done.returncode, debian.apt) == (0, ["install ovmf"])
    assert "not every package source answered" in done.stderr


@pytest.mark.slow
def test_what_apt_cannot_install_is_named(debian: Debian) -> None:
    debian.has([name for name in WANTED if name != "ovmf"])
    debian.program("apt-get", "exit 100")
    done = debian.run("setup/packages")
    assert done.returncode == 1
    assert "apt could not install: ovmf" in done.stderr


def test_another_kind_of_system_is_told_where_the_list_is(tmp_path: Path) -> None:
    for name in ("bash", "dirname"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    done = subprocess.run(
        [ROOT / "setup/packages"], env={"PATH": str(tmp_path)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "setup/packages.txt" in done.stderr


def test_each_package_is_listed_once_and_says_why() -> None:
    lines = [line for line in LISTED.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.+-]+ +# \S.*", line) for line in lines)
    assert len(WANTED) == len(set(WANTED)) == len(lines)


# --- Python -----------------------------------------------------------------------------------


def test_where_every_python_is_too_old_the_newest_that_apt_knows_is_added(debian: Debian) -> None:
    """Ubuntu 22.04: python3 is 3.10, and python3.11 lies beside it in the archive."""
    setup = shutil.copytree(ROOT / "setup", debian.folder / "setup")
    (setup / "python").write_text('#!/bin/bash\ngrep -qs "python3.13-venv" "$FOLDER/calls"\n')
    done = debian.run(setup / "packages")
    assert done.returncode == 0, done.stderr
    assert debian.apt == ["update", "install python3.13-venv"]


def test_an_old_python3_is_passed_over(debian: Debian) -> None:
    debian.program("python3", "exit 1")
    done = debian.run("setup/python")
    assert done.returncode == 0, done.stderr
    assert str(debian.folder) not in done.stdout


def test_the_python_that_was_asked_for_is_taken(debian: Debian) -> None:
    debian.program("my-python", "exit 0")
    assert debian.run("setup/python", PYTHON="my-python").stdout == f"{debian.folder}/my-python\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what `setup/venv` reads, with a .venv whose Python only writes down its calls."""
    shutil.copytree(ROOT / "setup", tmp_path / "setup")
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    programs = tmp_path / ".venv/bin"
    programs.mkdir(parents=True)
    (programs / "pip").write_text(f"#!{programs}/python\n")
    (programs / "python").write_text(f'#!/bin/bash\n[ -z "$2" ] || echo "$*" >> {tmp_path}/calls\n')
    (programs / "python").chmod(0o755)
    return tmp_path


def installs(project: Path) -> list[str]:
    """What one run of `setup/venv` gives to pip."""
    (project / "calls").write_text("")
    subprocess.run([project / "setup/venv"], check=True, capture_output=True)
    return [line.partition(" install ")[2] for line in (project / "calls").read_text().splitlines()]


def test_packages_come_from_the_lock_alone_and_only_when_something_changed(project: Path) -> None:
    everything = [
        "--require-hashes --only-binary :all: -r .venv/wheels.lock",
        "--require-hashes --no-build-isolation --no-deps -r .venv/sources.lock",
        "--no-deps --no-build-isolation -e .",
    ]
    assert installs(project) == everything
    parts = [(project / ".venv" / name).read_text() for name in ("wheels.lock", "sources.lock")]
    assert sorted("".join(parts)) == sorted(LOCK)
    assert parts[1].startswith("pykickstart==")
    assert installs(project) == []
    with (project / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    assert installs(project) == everything


def test_the_lock_holds_names_versions_and_hashes_and_says_nothing_about_where_from() -> None:
    assert "://" not in LOCK
    entry = (
        r"[a-z0-9.-]+(\[[a-z,]+\])?==[^\s;]+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n"
    )
    assert re.fullmatch(f"({entry})+", LOCK)


def test_the_lock_holds_everything_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[^A-Za-z0-9._-]", line)[0].lower() for line in asked}
    assert names - set(re.findall(r"^([a-z0-9._-]+)", LOCK, re.MULTILINE)) == set()


# --- make -------------------------------------------------------------------------------------


def test_make_help_tells_of_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split()
    rules = set(re.findall(r"^([a-z0-9-]+):(?! export)", makefile, re.MULTILINE))
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(
        ["make", "help"], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    told = re.findall(r"^make (\S+) +\S", done.stdout, re.MULTILINE)
    assert sorted(told) == sorted(phony) == sorted(rules)


def test_what_ci_runs_is_what_a_person_runs() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert script.splitlines()[-1] == "make test"
    assert os.access(ROOT / ".ci/run", os.X_OK)
