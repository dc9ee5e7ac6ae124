"""Power drivers with somebody to talk to, as the service makes them, without its database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deployer.core.inventory import Firmware, HostSpec
from deployer.drivers.power.base import Context, PowerDriver
from deployer.services import power
from deployer.services.parts import POWER_DRIVERS

MAC = "52:54:00:12:34:56"
SECRET = "s3cret-of-the-bmc"


def host(**settings: Any) -> HostSpec:
    """`driver` and its settings."""
    return HostSpec.model_validate({"name": "web01", "macs": [MAC], "power": settings})


def driver(
    settings: dict[str, Any],
    *,
    secret: str = SECRET,
    firmware: Firmware | None = None,
    networks: str = "127.0.0.0/8",
    ssh_key_file: Path | None = None,
    programs: Path | None = None,
) -> PowerDriver:
    """Every secret that is named is `secret`."""
    spec = host(**settings)
    context = Context(
        host=spec, firmware=firmware, networks=networks, programs=programs,
        secrets=dict.fromkeys(spec.secret_fields().values(), secret), ssh_key_file=ssh_key_file,
    )  # fmt: skip
    return POWER_DRIVERS[spec.power.driver](power.check(spec), context)
