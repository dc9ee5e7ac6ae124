"""`deployer netboot` and `deployer dhcp-config`: the way from a machine's firmware to us."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployer.errors import DeployerError, Invalid, Unavailable

if TYPE_CHECKING:
    from deployer.netboot.dnsmasq import Plan, Range
    from deployer.services.parts import Parts


class ModeName(StrEnum):
    PROXY = "proxy"
    FULL = "full"


class LoaderName(StrEnum):
    IPXE = "ipxe"
    GRUB = "grub"
    PXELINUX = "pxelinux"


class ServerName(StrEnum):
    DNSMASQ = "dnsmasq"
    KEA = "kea"
    ISC = "isc"
    WINDOWS = "windows"
    MIKROTIK = "mikrotik"


LoaderOption = Annotated[
    LoaderName, typer.Option(help="What machines load first; UEFI has no pxelinux, it gets ipxe.")
]


def netboot(
    interface: Annotated[str, typer.Option(help="The interface of the provisioning network.")],
    mode: Annotated[
        ModeName,
        typer.Option(help="proxy: beside a DHCP server that gives addresses; full: we give them."),
    ] = ModeName.PROXY,
    ranges: Annotated[
        list[str] | None,
        typer.Option("--range", metavar="FIRST,LAST[,NETMASK][,LEASE]",
                     help="Addresses to give in full mode; repeat it for relayed networks."),
    ] = None,
    router: Annotated[str | None, typer.Option(help="Router to tell machines; else none.")] = None,
    dns: Annotated[
        list[str] | None, typer.Option(help="Name server to tell machines; repeatable.")
    ] = None,
    known_only: Annotated[
        bool, typer.Option("--known-only", help="Answer only the NICs of our hosts.")
    ] = False,
    loader: LoaderOption = LoaderName.IPXE,
    tftp_block_size: Annotated[
        int | None,
        typer.Option(min=512, max=65464, help="Largest TFTP block; else as the interface's MTU"
                     " allows. 512 refuses every other size."),
    ] = None,
    dhcp_server: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Another DHCP server that may be here; repeatable."),
    ] = None,
    watch: Annotated[
        float, typer.Option(min=0, help="Seconds between looks for foreign DHCP servers; 0: never.")
    ] = 60,
    fragment: Annotated[
        Path | None,
        typer.Option(help="dnsmasq lines of your own; read again when the file changes."),
    ] = None,
) -> None:  # fmt: skip
    """Run DHCP and TFTP for one network: supervises dnsmasq, until told to stop. Needs root."""
    from deployer.cli import local

    try:
        parts = local.build()
        try:
            plan = _plan(parts, interface, mode, loader, known_only, tftp_block_size,
                         _ranges(ranges or [], interface), router, dns or [])  # fmt: skip
            _run(parts, plan, fragment, dhcp_server or [], watch)
        finally:
            parts.database.dispose()
    except DeployerError as error:
        _refuse(error)


def dhcp_config(
    server: Annotated[ServerName, typer.Option("--for", help="Whose language.")],
    loader: LoaderOption = LoaderName.IPXE,
    tftp_server: Annotated[
        str | None, typer.Option(help="Who serves loaders by TFTP; else the host of MACHINE_URL.")
    ] = None,
) -> None:
    """Print what an existing DHCP server needs, so that it sends machines here."""
    import socket
    from urllib.parse import urlsplit

    from deployer.cli import local
    from deployer.media.library import read_manifest
    from deployer.netboot import sites
    from deployer.netboot.loaders import Loader, standard

    settings = local.load_settings()
    url = settings.effective_machine_url
    host = tftp_server or urlsplit(url).hostname or ""
    try:
        address = IPv4Address(socket.gethostbyname(host))
    except (OSError, ValueError):
        raise Invalid(
            f"{host!r} is no IPv4 address and no known name", field="--tftp-server", value=host,
            remedy="give the address of the machine that runs `deployer netboot`",
        ) from None  # fmt: skip
    try:
        manifest = read_manifest(settings.images_dir / "loaders")
        loaders = frozenset(file["path"] for file in manifest["files"])
    except Invalid:  # not built here, or we may not look
        loaders = standard()
    site = sites.Site(url, address, loaders, Loader(loader))
    typer.echo(sites.configuration(sites.Server(server), site), nl=False)


def _refuse(error: DeployerError) -> None:
    from deployer.cli.output import show_error

    show_error(error)
    raise typer.Exit(1 if isinstance(error, Unavailable) else 2)


def _run(parts: Parts, plan: Plan, fragment: Path | None, allowed: list[str], every: float) -> None:
    import signal

    from deployer.netboot.dnsmasq import refusals
    from deployer.netboot.rogue import Watch
    from deployer.netboot.supervisor import Ears, Supervisor
    from deployer.observe import log
    from deployer.services import netboot as service

    recorder = service.Recorder(parts, plan)
    ears = Ears(
        known=recorder.hosts,
        happened=recorder.happened,
        beat=lambda health: service.beat(parts, plan, health),
        foreign=lambda found: service.foreign_server(parts, plan.interface, found),
    )
    watch = (
        Watch(plan.interface, str(plan.address.ip), plan.mode, allowed, every) if every else None
    )
    supervisor = Supervisor(plan, plan.hosts_file.parent, ears, fragment, watch=watch)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: supervisor.stop())
    for code, reason in refusals(plan, secure=False).items():
        log.warning("netboot_no_loader", arch=code, reason=reason)
    log.info("netboot", interface=plan.interface, mode=plan.mode, address=str(plan.address),
             loader=plan.loader, machine_url=plan.machine_url)  # fmt: skip
    supervisor.run()
    service.leave(parts, plan)
    log.info("netboot_stopped")


def _plan(
    parts: Parts, interface: str, mode: ModeName, loader: LoaderName, known_only: bool,
    block_size: int | None, ranges: tuple[Range, ...], router: str | None, dns: list[str],
) -> Plan:  # fmt: skip
    from deployer.boot import grub
    from deployer.netboot import dnsmasq, menus, rogue, supervisor
    from deployer.netboot.loaders import Loader

    settings = parts.settings
    rogue.check_interface(interface)
    address = _own_address(interface)
    if mode is ModeName.FULL and not ranges:
        raise Invalid(
            "--mode full gives addresses, and was given none", field="--range",
            remedy=f"name some, such as --range {address.network[100]},{address.network[200]}"
            if address.network.num_addresses > 200 else "name the first and the last",
        )  # fmt: skip
    url = settings.machine_url or f"http://{address.ip}:{settings.machine_listen.split(':')[-1]}"
    folder = settings.netboot_dir / interface
    image = _image(parts)
    root, sizes = supervisor.prepare(
        folder, image,
        {
            "grub/grub.cfg": menus.grub(url, grub.unanswered()),
            "pxelinux.cfg/default": menus.pxelinux(url),
        },
    )  # fmt: skip
    return dnsmasq.Plan(
        interface=interface, address=address, mode=dnsmasq.Mode(mode), machine_url=url,
        tftp_root=root, hosts_file=folder / "hosts",
        lease_file=folder / "leases" / "dnsmasq.leases", loaders=frozenset(sizes),
        loader=Loader(loader), ranges=ranges,
        router=_address("--router", router) if router else None,
        dns=tuple(_address("--dns", one) for one in dns), known_only=known_only,
        block_size=block_size,
    )  # fmt: skip


def _image(parts: Parts) -> Path:
    """The folder of the image `loaders`."""
    from deployer.store import images

    with parts.database.reading() as session:
        known = images.by_name(session, "loaders")
    folder: Path = parts.settings.images_dir / "loaders"
    if known is None or not folder.is_dir():
        raise Invalid(
            "the image loaders is not there: machines would have nothing to load", field="image",
            value="loaders", remedy="run `deployer image build loaders`",
        )  # fmt: skip
    return folder


def _own_address(interface: str) -> IPv4Interface:
    import json
    import subprocess

    done = subprocess.run(
        ["ip", "-j", "-4", "addr", "show", "dev", interface], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    found = [
        IPv4Interface(f"{info['local']}/{info['prefixlen']}")
        for link in json.loads(done.stdout or "[]")
        for info in link.get("addr_info", [])
    ]
    if not found:
        raise Invalid(
            f"the interface {interface} has no IPv4 address", field="--interface", value=interface,
            remedy=f"give it one, such as `ip addr add 10.0.0.5/24 dev {interface}`",
        )  # fmt: skip
    return found[0]


def _address(option: str, text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError:
        raise Invalid(
            f"{option} {text!r} is no IPv4 address", field=option, value=text,
            remedy="write it like 10.0.0.1",
        ) from None  # fmt: skip


def _ranges(texts: list[str], interface: str) -> tuple[Range, ...]:
    return tuple(_range(text, interface) for text in texts)


def _range(text: str, interface: str) -> Range:
    """FIRST,LAST, and if it is not this interface's network, its NETMASK."""
    import re

    from deployer.netboot.dnsmasq import Range

    words = [word.strip() for word in text.split(",")]
    lease = words.pop() if re.fullmatch(r"[0-9]+[mh]?", words[-1]) else "1h"
    if len(words) not in (2, 3):
        raise Invalid(
            f"--range {text!r} is not FIRST,LAST", field="--range", value=text,
            remedy="write it like 10.0.0.100,10.0.0.200 or 10.0.0.100,10.0.0.200,255.255.255.0,1h",
        )  # fmt: skip
    first, last = (_address("--range", word) for word in words[:2])
    mask = _address("--range", words[2]) if len(words) == 3 else _own_address(interface).netmask
    if last < first:
        raise Invalid(
            f"--range {text!r} ends before it begins", field="--range", value=text,
            remedy=f"write {last},{first}",
        )  # fmt: skip
    return Range(first, last, mask, lease)
