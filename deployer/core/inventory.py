"""A host as its operator writes it: identity, network, power, how it boots its own disk."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from deployer.core.hosts import Mac, Uuid
from deployer.core.network import Network
from deployer.core.profiles import named_in
from deployer.core.text import HostName, Line, Name

Firmware = Literal["bios", "uefi"]
LocalBootMethod = Literal["auto", "exit", "exit1", "sanboot", "chain"]
Labels = dict[Name, Line]


class LocalBootByFirmware(BaseModel):
    """The way to the own disk when BIOS and UEFI need different ones."""

    model_config = ConfigDict(extra="forbid")
    bios: LocalBootMethod = "auto"
    uefi: LocalBootMethod = "auto"


class Power(BaseModel):
    """Which power driver presses this host's button; the driver checks its own settings."""

    model_config = ConfigDict(extra="allow")
    driver: Name = "manual"


class Ssh(BaseModel):
    """Where we log in to verify, when it is not the address that the host itself reports."""

    model_config = ConfigDict(extra="forbid")
    address: Line | None = None
    port: int = Field(default=22, ge=1, le=65535)


def _unique(macs: list[str]) -> list[str]:
    repeated = {mac for mac in macs if macs.count(mac) > 1}
    if repeated:
        raise ValueError(f"names {', '.join(sorted(repeated))} twice; write each NIC once")
    return macs


class HostSpec(BaseModel):
    """A host as its operator writes it."""

    model_config = ConfigDict(extra="forbid")

    name: HostName
    macs: Annotated[list[Mac], Field(min_length=1, max_length=64), AfterValidator(_unique)]
    uuid: Uuid | None = None
    serial: Line | None = None
    labels: Labels = Field(default_factory=dict, max_length=64)
    protected: bool = False
    power: Power = Field(default_factory=Power)
    local_boot: LocalBootMethod | LocalBootByFirmware = "auto"
    # Its firmware enforces Secure Boot: it is given signed loaders, or none.
    secure_boot: bool = False
    network: Network = Field(default_factory=Network)
    ssh: Ssh = Field(default_factory=Ssh)
    vars: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _interfaces_are_ours(self) -> HostSpec:
        for interface in self.network.interfaces:
            for mac in interface.nics():
                if mac not in self.macs:
                    raise ValueError(
                        f"network.interfaces names {mac}, which is not in macs; add it there"
                    )
        return self

    def secret_fields(self) -> dict[str, str]:
        """Setting of the power driver → name of the secret that it names."""
        return named_in(self.power.model_dump(exclude={"driver"}), "power")

    def local_boot_method(self, firmware: Firmware) -> LocalBootMethod:
        """The method for this firmware; `auto` is left to the loader to resolve."""
        if isinstance(self.local_boot, LocalBootByFirmware):
            return self.local_boot.bios if firmware == "bios" else self.local_boot.uefi
        return self.local_boot
