"""Restarts a running machine over SSH: for machines without a BMC, while their system works.

We log in with the service's own key (its public half is DATA_DIR/keys/ssh_ed25519.pub), and only
where the host key is known beforehand; a key of the account's own is not stored here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from deployer.core.profiles import SshKey
from deployer.core.text import printable
from deployer.drivers import reach, ssh
from deployer.drivers.power.base import (
    OWN_ORDER,
    Address,
    BootMethod,
    DriverSettings,
    PowerDriver,
    PowerState,
    Product,
)
from deployer.errors import BootMethodRefused, DriverError, DriverRefused, DriverUnclear

_ENTRY = re.compile(r"^Boot([0-9A-Fa-f]{4})\*\s+([^\t\n]*)\t?(.*)$", re.MULTILINE)
_FROM_NETWORK = re.compile(r"\bPXE|\bIPv4|Network", re.IGNORECASE)
_DMI = "/sys/class/dmi/id"


class SshSettings(DriverSettings):
    """`known_hosts`: the machine's public host keys, each as in /etc/ssh/ssh_host_*_key.pub."""

    address: Address
    port: int = Field(default=22, ge=1, le=65535)
    username: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] = "root"
    known_hosts: list[SshKey] = Field(min_length=1, max_length=8)


class Ssh(PowerDriver):
    name = "ssh"
    Settings = SshSettings
    settings: SshSettings

    @property
    def methods(self) -> tuple[BootMethod, ...]:
        """PXE is what the boot order has first anyway; nothing is set for it."""
        bios = self.context.firmware == "bios"
        return (BootMethod.PXE,) if bios else (BootMethod.BOOT_NEXT, BootMethod.PXE)

    def state(self) -> PowerState:
        """A machine that does not answer may be off, or anything else."""
        try:
            with self._logged_in():
                return PowerState.ON
        except DriverRefused:
            raise
        except DriverError:
            return PowerState.UNKNOWN

    def _boot_once(self, method: BootMethod, url: str | None) -> str:
        if method is BootMethod.PXE:
            return OWN_ORDER
        with self._logged_in() as do:
            entry, name = self._network_entry(do("efibootmgr -v", BootMethodRefused))
            do(f"efibootmgr -n {entry}", DriverError)
            if not re.search(rf"^BootNext: {entry}$", do("efibootmgr", DriverError), re.M | re.I):
                raise DriverError(f"the firmware took BootNext {entry}, but does not show it")
        return f"the firmware shows Boot{entry} ({name}) as BootNext"

    def _network_entry(self, listed: str) -> tuple[str, str]:
        """Number and name of an active entry: of one of the host's NICs rather than of another."""
        found: dict[int, tuple[str, str]] = {}
        macs = [mac.replace(":", "") for mac in self.context.host.macs]
        for number, name, device in _ENTRY.findall(listed):
            if "Uri(" in device or not _FROM_NETWORK.search(f"{name} {device}"):
                continue
            text = f"{name} {device}".replace(":", "").lower()
            rank = next((i for i, mac in enumerate(macs) if mac in text), len(macs))
            found.setdefault(rank, (number, printable(name.strip(), 80)))
        if not found:
            raise BootMethodRefused(
                "the firmware has no active boot entry for the network",
                remedy="switch on network boot in the firmware",
            )
        return found[min(found)]

    def cycle(self) -> str:
        """What is off stays off: nobody is there to log in to."""
        with self._logged_in() as do:
            do.restart()
        return "the machine restarts itself"

    def product(self) -> Product:
        names = ("sys_vendor", "product_name", "bios_version")
        with self._logged_in() as do:
            told = do(f"head -qn1 {' '.join(f'{_DMI}/{name}' for name in names)}", DriverError)
        return Product(*(printable(line.strip(), 200) for line in told.splitlines()[:3]))

    @contextmanager
    def _logged_in(self) -> Iterator[_Shell]:
        settings, key_file = self.settings, self.context.ssh_key_file
        assert key_file is not None
        address = reach.addresses(settings.address, settings.port, self.context.networks)[0]
        keys = tuple(settings.known_hosts)
        target = ssh.Target(address, settings.port, keys, settings.username)
        shell = None
        try:
            with ssh.session(target, key_file) as ask:
                shell = _Shell(ask, "" if settings.username == "root" else "sudo -n ")
                yield shell
        except ssh.NotReachable as problem:
            kind = DriverUnclear if shell and shell.is_restarting else DriverError
            raise kind(str(problem), remedy="this driver needs a machine that runs") from None
        except ssh.Refused as refusal:
            raise DriverRefused(
                str(refusal), field="power.known_hosts",
                remedy="correct known_hosts; put the service's public key (keys/ssh_ed25519.pub in"
                " DATA_DIR) into the account's authorized_keys",
            ) from None  # fmt: skip


@dataclass
class _Shell:
    """Runs commands as root; `error` is raised with what one printed that failed."""

    ask: Callable[[str], ssh.Answer]
    sudo: str
    is_restarting: bool = False

    def __call__(self, command: str, error: type[DriverError]) -> str:
        return self._checked(command, self.ask(f"{self.sudo}{command} 2>&1"), error)

    def restart(self) -> None:
        """The connection may end before the command does."""
        self.is_restarting = True
        answer = self.ask(f"{self.sudo}reboot 2>&1")
        self.is_restarting = False
        if answer.status is not None:
            self._checked("reboot", answer, DriverRefused)

    def _checked(self, command: str, answer: ssh.Answer, error: type[DriverError]) -> str:
        if answer.status != 0:
            said = printable(answer.output.strip(), 300) or "nothing"
            raise error(
                f"`{self.sudo}{command}` ended with {answer.status} and said: {said}",
                remedy="may the account do that, and is the program there?",
            )
        return answer.output


DRIVER = Ssh
