"""Wakes a machine by a magic packet: for machines without a BMC that are off.

Nothing can be asked of them, and nothing else done to them.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Annotated

from pydantic import AfterValidator, Field

from deployer.core.hosts import Mac
from deployer.drivers import reach
from deployer.drivers.power.base import (
    OWN_ORDER,
    BootMethod,
    DriverSettings,
    PowerDriver,
)
from deployer.errors import DriverError

_EVERYBODY = "255.255.255.255"
# UDP may lose one, and a machine that was woken does not notice the others.
_PACKETS = 3


def _numeric(text: str) -> str:
    return str(ipaddress.ip_address(text))


class WakeOnLanSettings(DriverSettings):
    """`address`: a network's broadcast address; `mac` when it is not the host's first."""

    address: Annotated[str, AfterValidator(_numeric)] = _EVERYBODY
    port: int = Field(default=9, ge=1, le=65535)
    mac: Mac | None = None


class WakeOnLan(PowerDriver):
    name = "wake_on_lan"
    Settings = WakeOnLanSettings
    settings: WakeOnLanSettings

    def _boot_once(self, method: BootMethod, url: str | None) -> str:
        return OWN_ORDER

    def cycle(self) -> str:
        """What runs goes on running: there is no packet that ends it."""
        settings = self.settings
        mac = settings.mac or self.context.host.macs[0]
        if settings.address != _EVERYBODY:
            reach.addresses(settings.address, settings.port, self.context.networks)
        family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                for _ in range(_PACKETS):
                    sender.sendto(magic_packet(mac), (settings.address, settings.port))
        except OSError as error:
            raise DriverError(f"no magic packet to {settings.address}: {error}") from None
        return (
            f"a magic packet for {mac} went to {settings.address}; a machine that runs ignores it"
        )


def magic_packet(mac: str) -> bytes:
    """Six times FF, sixteen times the MAC (AMD publication 20213)."""
    return b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) * 16


DRIVER = WakeOnLan
