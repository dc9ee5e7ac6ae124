"""Virtual machines of libvirt, by virsh: QEMU/KVM here or on another host.

By the command line, because the Python bindings come as source alone and need libvirt's headers.
A virtual machine has no boot order for one start: the network becomes the first device for good,
and we send a machine that has nothing to install to its disk.
"""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from deployer.core.text import printable
from deployer.drivers import program, reach
from deployer.drivers.power.base import (
    BootMethod,
    Context,
    DriverSettings,
    PowerDriver,
    PowerState,
    Product,
)
from deployer.errors import DriverError, DriverRefused

_SECONDS = 60.0
# No other transports, which run programs (`ext`), and no parameters, which name them (`command=`).
_URI = re.compile(
    r"(qemu|xen|bhyve|test)(\+(ssh|tls|tcp|unix))?://"
    r"(([a-z_][a-z0-9_-]{0,31}@)?[A-Za-z0-9][A-Za-z0-9.-]{0,252}(:[0-9]{1,5})?)?/[a-z]{0,20}"
)
_PORTS = {"ssh": 22, "tls": 16514, "tcp": 16509}
_STATES = {"running": PowerState.ON, "shut off": PowerState.OFF, "crashed": PowerState.OFF,
           "paused": PowerState.ON, "idle": PowerState.ON, "in shutdown": PowerState.ON,
           "pmsuspended": PowerState.ON}  # fmt: skip
_WRONG = re.compile(
    r"failed to get domain|authentication failed|Permission denied|Host key verification failed"
    r"|access denied|unsupported|no connection driver|XML error"
)
ET.register_namespace("qemu", "http://libvirt.org/schemas/domain/qemu/1.0")


def _uri(text: str) -> str:
    if not _URI.fullmatch(text):
        raise ValueError(
            "must be a libvirt URI such as qemu:///system or qemu+ssh://root@kvm1/system, without"
            " password and parameters"
        )
    return text


class LibvirtSettings(DriverSettings):
    """`domain`: the virtual machine's name or UUID there, when it is not the host's name."""

    uri: Annotated[str, AfterValidator(_uri)] = "qemu:///system"
    domain: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+ -]{0,99}$")] | None = None


class Libvirt(PowerDriver):
    name = "libvirt"
    Settings = LibvirtSettings
    settings: LibvirtSettings

    def __init__(self, settings: LibvirtSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._domain = settings.domain or context.host.name

    def state(self) -> PowerState:
        return _STATES.get(self._ask("domstate").strip(), PowerState.UNKNOWN)

    def _boot_once(self, method: BootMethod, url: str | None) -> str:
        wanted = with_network_first(self._description(), self.context.host.macs)
        self._virsh("define", "/dev/stdin", given=ET.tostring(wanted, "unicode"))
        card = network(self._description(), self.context.host.macs)
        if [boot.get("order") for boot in card.findall("boot")] != ["1"]:
            raise DriverError(
                f"libvirt took the boot order of {self._domain}, but does not show it"
            )
        return f"libvirt starts {self._domain} from the network, from its next start on"

    def _description(self) -> ET.Element:
        """Of its next start."""
        try:
            return ET.fromstring(self._ask("dumpxml", "--inactive"))
        except ET.ParseError as error:
            raise DriverError(f"libvirt describes {self._domain} in no XML: {error}") from None

    def cycle(self) -> str:
        """A new start, because a reset would keep the old boot order. Twice is once."""
        if self.state() is not PowerState.OFF:
            self._ask("destroy", fine="domain is not running")
        self._ask("start", fine="already active")
        return f"libvirt started {self._domain}"

    def off(self) -> str:
        if self.state() is PowerState.OFF:
            return "it was off"
        self._ask("destroy", fine="domain is not running")
        return f"libvirt switched {self._domain} off"

    def product(self) -> Product:
        kind = self._description().find("os/type")
        machine = kind.get("machine", "") if kind is not None else ""
        return Product("libvirt", printable(machine, 100), "")

    # --- virsh ------------------------------------------------------------------------------------

    def _ask(self, act: str, *options: str, fine: str | None = None) -> str:
        return self._virsh(act, *options, "--domain", self._domain, fine=fine)

    def _virsh(self, *command: str, given: str = "", fine: str | None = None) -> str:
        """What it prints; also when it fails because of what `fine` says."""
        try:
            ended = program.run(
                ["virsh", "-q", "-c", self._connection(), *command], seconds=_SECONDS, given=given,
                environment=self._environment(), limit=512 * 1024,
            )  # fmt: skip
        except program.OutOfTime:
            raise DriverError(f"libvirt did not answer in {_SECONDS:.0f} s") from None
        if ended.status == 0 or (fine and fine in ended.errors):
            return ended.output
        lines = [line.removeprefix("error: ") for line in ended.errors.splitlines() if line.strip()]
        said = printable("; ".join(lines[-3:]), 400)
        kind = DriverRefused if _WRONG.search(ended.errors) else DriverError
        raise kind(
            f"{self.settings.uri}: virsh {command[0]} {self._domain}: {said}",
            remedy="run `virsh -c URI list --all` as the account that runs this service",
        )

    def _connection(self) -> str:
        """The URI, with our own key and without questions where it goes over SSH."""
        uri, parts = self.settings.uri, urlsplit(self.settings.uri)
        transport = parts.scheme.partition("+")[2]
        if parts.hostname and transport:
            port = parts.port or _PORTS.get(transport, 0)
            reach.addresses(parts.hostname, port, self.context.networks)
        key = self.context.ssh_key_file
        return f"{uri}?no_tty=1&keyfile={key}" if transport == "ssh" and key else uri

    @staticmethod
    def _environment() -> Mapping[str, str]:
        """OpenSSH's known_hosts and libvirt's certificates lie in the account's home."""
        return {"HOME": os.environ.get("HOME", "/root"), "LC_ALL": "C"}


def with_network_first(domain: ET.Element, macs: list[str]) -> ET.Element:
    """The description with the host's NIC as its first boot device, and its disks after that."""
    # One way to say it excludes the other.
    for system in domain.findall("os"):
        for old in system.findall("boot"):
            system.remove(old)
    disks = [disk for disk in domain.findall("devices/disk") if disk.get("device") != "cdrom"]
    order = [network(domain, macs), *sorted(disks, key=_position)]
    for device in domain.findall("devices/*"):
        for old in device.findall("boot"):
            device.remove(old)
    for number, device in enumerate(order, 1):
        # libvirt wants it nowhere in particular.
        ET.SubElement(device, "boot", order=str(number))
    return domain


def network(domain: ET.Element, macs: list[str]) -> ET.Element:
    """The host's own NIC; DriverRefused when the virtual machine has none of these."""
    for card in domain.findall("devices/interface"):
        mac = card.find("mac")
        if mac is not None and str(mac.get("address")).lower() in macs:
            return card
    raise DriverRefused(
        f"the virtual machine has no NIC with a MAC of the host's: {', '.join(macs)}",
        field="macs", remedy="correct the host's macs, or its `power.domain`",
    )  # fmt: skip


def _position(disk: ET.Element) -> int:
    boot = disk.find("boot")
    order = boot.get("order", "") if boot is not None else ""
    return int(order) if order.isdecimal() else 999


DRIVER = Libvirt
