"""Power over IPMI 2.0 (RMCP+), for BMCs without Redfish.

By ipmitool. pyghmi is kept up as well, but does all its waiting in one thread of the process, so
that one BMC can hold up the others and none can be cut off; ipmitool is a process that can be
killed, distributions patch it, and it is what vendors test their BMCs against. The password goes
to its standard input: neither a command line nor a file, nor the environment, has it (T076).
"""

from __future__ import annotations

import re
import time
from typing import Annotated, Literal

from pydantic import Field

from deployer.core.inventory import Firmware
from deployer.core.profiles import SecretRef
from deployer.core.text import MASK, printable
from deployer.drivers import program, reach
from deployer.drivers.power.base import (
    Address,
    BootMethod,
    Context,
    DriverSettings,
    PowerDriver,
    PowerState,
    Product,
)
from deployer.errors import DriverError, DriverRefused, DriverUnclear

_LONGEST_PASSWORD = 20  # IPMI 2.0, 22.30
_RETRIES, _RETRY_SECONDS = 3, 2
_SECONDS = 30.0
_OFF_SECONDS, _PAUSE = 20.0, 1.0
# Of the second and third byte of boot flags (IPMI 2.0, table 28-14).
_VALID, _EFI, _SELECTOR, _PXE = 0x80, 0x20, 0x3C, 0x04
# Newer BMCs have 17 alone, older ones 3 (table 22-20).
_CIPHERS = (17, 3)
_NO_CIPHER = re.compile(
    r"invalid (authentication|integrity|confidentiality) algorithm|cipher suite"
)
_NOT_SENT = re.compile(r"Unable to establish|Get Channel Authentication|Could not open socket")
_NOT_LET_IN = re.compile(
    r"HMAC is invalid|unauthorized name|nsufficient privilege|unauthorized role|invalid role"
)
_UNKNOWN = re.compile(r"Invalid command|Invalid data field|Parameter out of range|not supported$")


class IpmiSettings(DriverSettings):
    """`cipher`: its number; unset, 17 and then 3 are tried. `firmware`: what the machine runs."""

    address: Address
    port: int = Field(default=623, ge=1, le=65535)
    username: Annotated[str, Field(pattern=r"^[!-~]{1,16}$")]
    password: SecretRef
    cipher: Annotated[int, Field(ge=0, le=255)] | None = None
    privilege: Literal["administrator", "operator"] = "administrator"
    firmware: Firmware | None = None


class Ipmi(PowerDriver):
    name = "ipmi"
    Settings = IpmiSettings
    settings: IpmiSettings
    seconds = _SECONDS

    def __init__(self, settings: IpmiSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._ciphers = [settings.cipher] if settings.cipher is not None else list(_CIPHERS)

    def state(self) -> PowerState:
        said = self._ask("power", "status").lower()
        found = re.search(r"chassis power is (on|off)", said)
        return PowerState(found[1]) if found else PowerState.UNKNOWN

    def _boot_once(self, method: BootMethod, url: str | None) -> str:
        uefi = (self.settings.firmware or self.context.firmware) == "uefi"
        self._keep_flags()
        self._ask("chassis", "bootdev", "pxe", *(["options=efiboot"] if uefi else []))
        flags = self._flags()
        if flags[1] & _SELECTOR != _PXE:
            raise DriverError(
                "the BMC took PXE for the next boot, but shows boot flags"
                f" {' '.join(f'{byte:02x}' for byte in flags)}",
                remedy="update the BMC's firmware, or use its Redfish if it has one",
            )
        doubts = [] if flags[0] & _VALID else ["does not call it valid"]
        if uefi and not flags[0] & _EFI:
            doubts.append("does not say UEFI")
        return "the BMC shows PXE for the next boot" + "".join(f", but {doubt}" for doubt in doubts)

    def _keep_flags(self) -> None:
        """BMCs forget boot flags a minute after they were set (table 28-14, parameter 3)."""
        try:
            self._ask("raw", "0x00", "0x08", "0x03", "0x08")
        except DriverRefused as refusal:
            if refusal.field:  # it is about us, not about the parameter, which few BMCs know
                raise

    def _flags(self) -> bytes:
        """The five bytes of parameter 5."""
        said = self._ask("raw", "0x00", "0x09", "0x05", "0x00", "0x00")
        try:
            found = bytes.fromhex(said)
        except ValueError:
            found = b""
        if len(found) < 7:
            raise DriverError(f"the BMC does not tell its boot flags: {printable(said, 100)}")
        return found[2:7]

    def cycle(self) -> str:
        if self.state() is PowerState.OFF:
            self._ask("power", "on")  # twice on is once on
            return "the BMC switches it on"
        try:
            self._ask("power", "cycle", once=True)
        except DriverRefused as refusal:
            if refusal.field:
                raise
            # A BMC that says no has not done it; some know a reset only.
            self._ask("power", "reset", once=True)
            return "the BMC resets it"
        return "the BMC switches it off and on"

    def off(self) -> str:
        if self.state() is PowerState.OFF:
            return "it was off"
        self._ask("power", "off")
        for _ in range(int(_OFF_SECONDS / _PAUSE)):
            if self.state() is PowerState.OFF:
                return "the BMC switched it off"
            time.sleep(_PAUSE)
        raise DriverError("the BMC took the order to switch off, but the machine is still on")

    def product(self) -> Product:
        """From the inventory, where the BMC has one; `firmware` is the BMC's."""
        about = self._ask("mc", "info")
        try:
            inventory = self._ask("fru", "print", "0")
        except DriverError:
            inventory = ""
        return Product(
            _named(inventory, "Product Manufacturer") or _named(about, "Manufacturer Name"),
            _named(inventory, "Product Name") or _named(about, "Product Name"),
            _named(about, "Firmware Revision"),
        )

    # --- ipmitool -------------------------------------------------------------------------------

    def _ask(self, *command: str, once: bool = False) -> str:
        """What it prints. `once`: is sent once, and DriverUnclear when its answer was lost."""
        while True:
            ended = self._run(self._ciphers[0], command, once)
            if ended.status == 0:
                return ended.output
            if len(self._ciphers) == 1 or not _NO_CIPHER.search(ended.errors):
                raise self._meaning(ended, command, once)
            del self._ciphers[0]

    def _run(self, cipher: int, command: tuple[str, ...], once: bool) -> program.Ended:
        settings, password = self.settings, self.context.secret(self.settings.password)
        if len(password.encode()) > _LONGEST_PASSWORD:
            raise DriverRefused(
                f"IPMI knows passwords of at most {_LONGEST_PASSWORD} bytes",
                field="power.password",
                remedy="set a shorter one on the BMC and with `deployer secret set`",
            )  # fmt: skip
        at = reach.addresses(settings.address, settings.port, self.context.networks)[0]
        tries = 1 if once else _RETRIES
        arguments = [
            "ipmitool", "-v", "-I", "lanplus", "-H", at, "-p", str(settings.port),
            "-U", settings.username, "-f", "/dev/stdin", "-L", settings.privilege.upper(),
            "-C", str(cipher), "-N", str(_RETRY_SECONDS), "-R", str(tries), *command,
        ]  # fmt: skip
        try:
            return program.run(arguments, seconds=self.seconds, given=password + "\n")
        except program.OutOfTime:
            kind = DriverUnclear if once else DriverError
            raise kind(f"{self._bmc} did not answer in {self.seconds:.0f} s") from None

    @property
    def _bmc(self) -> str:
        return f"the BMC {self.settings.address} port {self.settings.port}"

    def _meaning(self, ended: program.Ended, command: tuple[str, ...], once: bool) -> DriverError:
        said = self._told(ended.errors)
        if _NOT_LET_IN.search(ended.errors):
            return DriverRefused(
                f"{self._bmc} does not let {self.settings.username} in: {said}",
                field="power.password", remedy="correct user name, secret or `privilege`; is IPMI"
                " over LAN allowed for this user?",
            )  # fmt: skip
        if _NO_CIPHER.search(ended.errors):
            return DriverRefused(
                f"{self._bmc} knows none of our cipher suites: {said}",
                field="power.cipher",
                remedy="write the one that it allows, such as `cipher: 3`",
            )
        if _NOT_SENT.search(ended.errors):
            return DriverError(f"{self._bmc} does not answer: {said}")
        if _UNKNOWN.search(ended.errors):
            return DriverRefused(
                f"{self._bmc} refuses {' '.join(command)}: {said}",
                remedy="update its firmware, or use its Redfish if it has one",
            )
        if once and "failed:" not in ended.errors:  # what follows is the BMC's own answer
            return DriverUnclear(f"{self._bmc}: no answer to {' '.join(command)}: {said}")
        return DriverError(f"{self._bmc}: {' '.join(command)}: {said}")

    def _told(self, errors: str) -> str:
        """The last lines, which are the reason; without a password, which should not be there."""
        lines = [line.strip("> ") for line in errors.splitlines() if line.strip()]
        kept = [line for line in lines if not line.startswith(("Loading", "Running", "Discovered"))]
        text = "; ".join(kept[-3:]).replace(self.context.secret(self.settings.password), MASK)
        return printable(text, 300)


def _named(text: str, name: str) -> str:
    found = re.search(rf"^\s*{name}\s*:\s*(\S.*?)\s*$", text, re.MULTILINE)
    return printable(found[1], 200) if found else ""


DRIVER = Ipmi
