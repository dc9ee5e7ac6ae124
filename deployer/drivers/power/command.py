"""Power by a program of the operator's own: a PDU, a KVM, whatever has no driver here.

Only what lies in DATA_DIR/power.d is run: who may write hosts through the API may choose one of
these programs, and none besides. It is run without a shell. What a host says reaches it as
variables, not as arguments, which it could take for options; docs/power.md has all of it.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Annotated

from pydantic import Field

from deployer.core.profiles import SecretRef
from deployer.core.text import MASK, Line, printable
from deployer.drivers import program
from deployer.drivers.power.base import (
    BootMethod,
    DriverSettings,
    PowerDriver,
    PowerState,
    Product,
)
from deployer.errors import BootMethodRefused, DriverError, DriverRefused, DriverUnclear

# What a program's exit status says; any other than these and 0: trying again may help.
REFUSED, UNCLEAR = 3, 4

ValueName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class CommandSettings(DriverSettings):
    """`values` become POWER_<NAME> in the program's environment; `seconds` it may take."""

    program: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    values: dict[ValueName, Line] = Field(default_factory=dict, max_length=32)
    password: SecretRef | None = None
    methods: list[BootMethod] = Field(default=[BootMethod.PXE], min_length=1, max_length=4)
    seconds: int = Field(default=60, ge=1, le=600)


class Command(PowerDriver):
    name = "command"
    Settings = CommandSettings
    settings: CommandSettings

    @property
    def methods(self) -> tuple[BootMethod, ...]:
        return tuple(dict.fromkeys(self.settings.methods))

    def state(self) -> PowerState:
        said = self._run("state")
        if said not in list(PowerState):
            raise DriverError(
                f"{self.settings.program} state printed {said!r}",
                remedy=f"it must print one of: {', '.join(PowerState)}",
            )
        return PowerState(said)

    def _boot_once(self, method: BootMethod, url: str | None) -> str:
        return self._run("boot_once", str(method), *([url] if url else []), error=BootMethodRefused)

    def cycle(self) -> str:
        return self._run("cycle", lost=DriverUnclear)

    def off(self) -> str:
        return self._run("off")

    def insert_media(self, url: str) -> str:
        return self._run("insert_media", url)

    def eject_media(self) -> str:
        return self._run("eject_media")

    def product(self) -> Product:
        """Manufacturer, model and firmware, a line each; empty where the program does not know."""
        try:
            lines = self._run("product", lines=3).split("\n")
        except DriverRefused:
            lines = []
        return Product(*lines)

    def _run(
        self, act: str, *more: str, error: type[DriverRefused] = DriverRefused,
        lost: type[DriverError] = DriverError, lines: int = 1,
    ) -> str:  # fmt: skip
        """The first lines that it prints, or that the act is done."""
        settings, secret = self.settings, self.settings.password
        password = self.context.secret(secret) if secret else ""
        try:
            ended = program.run(
                [str(self._program()), act, *more], seconds=settings.seconds,
                given=f"{password}\n" if secret else "", environment=self._facts(),
            )  # fmt: skip
        except program.OutOfTime:
            raise lost(
                f"{settings.program} {act} did not end within {settings.seconds} s and was killed"
            ) from None
        output = ended.output if ended.status == 0 else ended.errors or ended.output
        if password:
            output = output.replace(password, MASK)
        kept = [printable(line.strip(), 300) for line in output.strip().split("\n")[:lines]]
        said = "\n".join(kept)
        if ended.status == 0:
            return said or f"{settings.program} did it: {act}"
        kinds = {REFUSED: error, UNCLEAR: DriverUnclear}
        raise kinds.get(ended.status, DriverError)(
            f"{settings.program} {act} ended with {ended.status} and said: {said or 'nothing'}",
            remedy="run it by hand, as docs/power.md says",
        )

    def _program(self) -> Path:
        folder, name = self.context.programs, self.settings.program
        assert folder is not None
        path = folder / name
        try:
            modes = folder.stat().st_mode, path.stat().st_mode
        except OSError:
            raise DriverRefused(
                f"there is no program {name} in {folder}", field="power.program", value=name,
                remedy="put it there, executable, on every machine that runs a worker",
            ) from None  # fmt: skip
        if any(mode & (stat.S_IWGRP | stat.S_IWOTH) for mode in modes):
            raise DriverRefused(
                f"{path} or its folder can be changed by other accounts", field="power.program",
                value=name, remedy=f"chmod go-w {folder} {path}",
            )  # fmt: skip
        return path

    def _facts(self) -> dict[str, str]:
        host = self.context.host
        facts = {
            "DEPLOYER_HOST": host.name,
            "DEPLOYER_MACS": " ".join(host.macs),
            "DEPLOYER_UUID": host.uuid or "",
            "DEPLOYER_SERIAL": host.serial or "",
            "DEPLOYER_FIRMWARE": self.context.firmware or "",
        }
        return facts | {f"POWER_{n.upper()}": value for n, value in self.settings.values.items()}


DRIVER = Command
