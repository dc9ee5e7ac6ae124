"""`deployer netboot` and `deployer dhcp-config`: what they refuse, and what they print."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from deployer.netboot import sites
from tests.cli.conftest import Run, Server
from tests.golden import DHCP
from tests.support.netboot import loaders_image
from tests.support.netns import needs_root


@pytest.mark.parametrize("server", sites.Server)
def test_dhcp_config_prints_what_the_server_needs_and_nothing_else(
    run: Run, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.setenv("DEPLOYER_MACHINE_URL", "http://10.77.0.1:8081")
    outcome = run("dhcp-config", "--for", server)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == (DHCP / f"{server}.txt").read_text()


def test_dhcp_config_can_name_another_tftp_server_and_loader(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYER_MACHINE_URL", "http://10.77.0.1:8081")
    text = run("dhcp-config", "--for", "isc", "--tftp-server", "10.77.0.9", "--loader", "grub").out
    assert "next-server 10.77.0.9;" in text and 'filename "grub-x86_64.efi";' in text
    refused = run("dhcp-config", "--for", "isc", "--tftp-server", "no.such.host.invalid")
    assert refused.code == 1
    assert "give the address of the machine that runs `deployer netboot`" in refused.err


def test_dhcp_config_names_only_what_the_image_holds(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYER_MACHINE_URL", "http://10.77.0.1:8081")
    images = folder / "data" / "images"
    images.mkdir(exist_ok=True)
    loaders_image(images, {"undionly.kpxe", "snponly.efi"})
    text = run("dhcp-config", "--for", "dnsmasq").out
    assert "undionly.kpxe" in text and "grub-arm64.efi" not in text


@pytest.fixture
def with_loaders(server: Server, run: Run, folder: Path) -> Server:
    made = loaders_image(folder)
    assert run("image", "add", made).code == 0
    shutil.rmtree(made)
    return server


@needs_root
@pytest.mark.parametrize(
    ("arguments", "problem", "remedy"),
    [
        (["--interface", "nope0"], "there is no interface 'nope0' here", "choose one of"),
        (["--interface", "lo", "--mode", "full"], "--mode full gives addresses", "name some"),
        (["--interface", "lo", "--mode", "full", "--range", "a,b"], "'a' is no IPv4", "10.0.0.1"),
        (["--interface", "lo", "--mode", "full", "--range", "10.0.0.1"], "is not FIRST,LAST",
         "10.0.0.100,10.0.0.200"),
        (["--interface", "lo", "--mode", "full", "--range", "10.0.0.9,10.0.0.1"],
         "ends before it begins", "write 10.0.0.1,10.0.0.9"),
    ],
)  # fmt: skip
def test_netboot_refuses_by_name_what_it_cannot_do(
    run: Run, with_loaders: Server, arguments: list[str], problem: str, remedy: str
) -> None:
    outcome = run("netboot", *arguments)
    assert outcome.code == 2, "systemd does not try again"
    assert problem in outcome.err
    assert remedy in outcome.err


@needs_root
def test_netboot_without_loaders_says_how_to_make_them(run: Run, server: Server) -> None:
    outcome = run("netboot", "--interface", "lo")
    assert outcome.code == 2
    assert "run `deployer image build loaders`" in outcome.err


@needs_root
def test_a_folder_that_dnsmasq_cannot_enter_is_named(
    run: Run, with_loaders: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setenv("DEPLOYER_NETBOOT_DIR", str(closed / "netboot"))
    outcome = run("netboot", "--interface", "lo")
    assert outcome.code == 2
    assert "is closed to the account" in outcome.err.replace("\n", " ")
    assert "chmod o+x" in outcome.err


def test_loaders_are_built_where_they_are_wanted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        "deployer.media.build.build_loaders", lambda dest, **how: asked.append((dest, how))
    )
    assert run("image", "build", "loaders", "--dir", "here").code == 0
    assert run("image", "build", "loaders-13", "--dir", "here").code == 0
    assert [how["release"] for _, how in asked] == ["12", "13"]
    refused = run("image", "build", "loaders", "--include", "nginx")
    assert "'nginx' cannot be included" in refused.err


def test_grub_accepts_the_menu_that_it_finds(folder: Path) -> None:
    from deployer.netboot import menus

    for url in ("http://10.0.0.5:8081", "http://deployer.example/base"):
        file = folder / "grub.cfg"
        file.write_text(menus.grub(url, "exit\n"))
        subprocess.run(["grub-script-check", str(file)], check=True)
    assert 'configfile "($server)/base/boot/grub?$query"' in file.read_text()
