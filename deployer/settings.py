"""Every environment variable, read once. docs/configuration.md is generated from this file."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from deployer.core.lifecycle import PATIENCE, PATIENCE_WITHOUT_POWER_CONTROL, State
from deployer.core.sizes import Size
from deployer.errors import ConfigurationError

PREFIX = "DEPLOYER_"


def _host_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:8080 or [::]:8081")
    return text


def _base_url(text: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?", text, re.ASCII):
        raise ValueError("must be a URL that machines can reach, such as http://10.0.0.5:8081")
    return text.rstrip("/")


def _internal_path(text: str) -> str:
    if text and not re.fullmatch(r"/[A-Za-z0-9._~/-]+", text, re.ASCII):
        raise ValueError("must be a path such as /protected/images")
    return text.rstrip("/")


def _networks(text: str) -> str:
    for part in filter(None, (p.strip() for p in text.split(","))):
        ipaddress.ip_network(part, strict=False)
    return text


def _default_data_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/deployer")
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "deployer"


Listen = Annotated[str, AfterValidator(_host_port)]
Seconds = Annotated[float, Field(gt=0, le=30 * 24 * 3600, allow_inf_nan=False)]


class Settings(BaseSettings):
    """The service's settings; each is an environment variable with the prefix DEPLOYER_."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", extra="ignore")

    data_dir: Path = Field(
        default_factory=_default_data_dir,
        description="Database, media and keys. Default: /var/lib/deployer for root, else the"
        " user's data folder.",
    )
    database_url: str = Field(
        default="",
        description="postgresql://user:password@host/name, or sqlite:////path/file.db. Default:"
        " deployer.db in DATA_DIR.",
    )
    listen: Listen = Field(default="127.0.0.1:8080", description="People's side: API and page.")
    machine_listen: Listen = Field(
        default="0.0.0.0:8081",
        description="Machine side: boot scripts, answer files, phone-home, images.",
    )
    machine_url: Annotated[str, AfterValidator(lambda u: _base_url(u) if u else u)] = Field(
        default="",
        description="What machines are told to call. Default: this machine's own address with the"
        " port of MACHINE_LISTEN.",
    )
    answerfiles: Path | None = Field(
        default=None, description="A folder of your own OS families, searched first."
    )
    workflows: Path | None = Field(
        default=None, description="A folder of your own workflows, searched first."
    )
    server_key_file: Path | None = Field(
        default=None,
        description="The key that tokens are derived from, the same for all replicas. Default:"
        " keys/server.key in DATA_DIR, made at the first start.",
    )
    patience_queued: Seconds | None = Field(default=None, description="Seconds in `queued`.")
    patience_booting: Seconds | None = Field(
        default=None,
        description="Seconds in `booting`. Default: 30 minutes, or 4 hours where a person must"
        " press the button.",
    )
    patience_installing: Seconds | None = Field(
        default=None,
        description="Seconds in `installing` without progress; with progress, four times as long.",
    )
    patience_first_boot: Seconds | None = Field(
        default=None, description="Seconds in `first_boot`."
    )
    patience_verifying: Seconds | None = Field(default=None, description="Seconds in `verifying`.")
    boot_request_within: Seconds = Field(
        default=600,
        description="Seconds after a restart in which the machine must ask for its boot script;"
        " then the next way to boot it is tried, if its power driver has another.",
    )
    boot_script_limit: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="How often one deployment's boot script is given out; a machine that cannot"
        " load its kernel stops looping there.",
    )
    boot_window: Seconds = Field(
        default=900,
        description="Seconds after the first boot script in which it may be fetched again.",
    )
    boot_requests_per_minute: int = Field(
        default=3000,
        ge=0,
        le=1_000_000,
        description="Boot requests per minute from one address, in one process; beyond them iPXE is"
        " told to wait (429) and GRUB to boot the local disk. A machine makes a handful; raise it"
        " where thousands share an address (NAT), 0 is no limit.",
    )
    chat_four_eyes_from: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="From how many hosts at once on somebody else than who asked in a chat has to"
        " confirm a reinstall; 0 is never.",
    )
    chat_commands_per_minute: int = Field(
        default=30,
        ge=1,
        le=10_000,
        description="Commands per minute from one person in a chat; ten times as many from one"
        " workspace. Counted by each process for itself.",
    )
    power_at_once: int = Field(
        default=100,
        ge=1,
        le=1000,
        description="Calls to BMCs at the same time, on all replicas together.",
    )
    power_at_once_per_rack: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="The same for hosts with one value of the label `rack`.",
    )
    power_at_once_per_bmc: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="The same for hosts with one address of a BMC, such as the blades of a"
        " chassis.",
    )
    restarts_per_minute: int = Field(
        default=120,
        ge=1,
        le=100_000,
        description="Machines that are restarted within a minute; the others wait their turn, for"
        " the sake of fuses, DHCP and mirrors.",
    )
    power_networks: Annotated[str, AfterValidator(_networks)] = Field(
        default="",
        description="Networks (comma-separated) in which power drivers may reach BMCs. Default: any"
        " but this machine's loopback and link-local addresses.",
    )
    webhook_networks: Annotated[str, AfterValidator(_networks)] = Field(
        default="",
        description="Networks (comma-separated) to which workflows may send `http.request` and"
        " `webhook`. Default: any but this machine's loopback and link-local addresses.",
    )
    chat_networks: Annotated[str, AfterValidator(_networks)] = Field(
        default="",
        description="Networks (comma-separated) in which receivers may be: chat platforms, mail"
        " servers, whoever is notified. Default: any but this machine's loopback and link-local"
        " addresses.",
    )
    strict_address: bool = Field(
        default=True,
        description="Answer files only to the address that fetched the boot script. Switch off"
        " where firmware and installer have different addresses.",
    )
    trusted_proxies: Annotated[str, AfterValidator(_networks)] = Field(
        default="",
        description="Networks (comma-separated) of proxies whose X-Forwarded-For is believed.",
    )
    accel_redirect: Annotated[str, AfterValidator(_internal_path)] = Field(
        default="",
        description="Path under which an nginx in front of the machine side has the folder"
        " `images` of DATA_DIR (deploy/nginx); files are then sent by nginx, to whoever comes"
        " through it. It must be one of TRUSTED_PROXIES.",
    )
    installs_per_hour: int = Field(
        default=300,
        ge=1,
        le=100_000,
        description="Ceiling on new deployments per hour for the whole service; runaway automation"
        " stops here.",
    )
    logs_total: Size = Field(
        default=2**30,
        description="What the logs that installers sent may take in the database, such as 1GiB:"
        " 16 MiB for one deployment, and this for all. Beyond it the oldest go, those of unfinished"
        " deployments last.",
    )
    netboot_dir: Path = Field(
        default=Path("/var/lib/deployer-netboot"),
        description="What `deployer netboot` gives to dnsmasq: configuration, loaders, leases. Not"
        " in DATA_DIR, because dnsmasq's own account must get at it.",
    )
    worker_name: str = Field(
        default_factory=socket.gethostname,
        description="Name of this process among the workers; must stay the same over a restart.",
    )
    log_format: Annotated[str, Field(pattern="^(json|text)$")] = Field(
        default="json", description="`json` or `text`."
    )

    def patience(self, state: State, *, power_control: bool) -> timedelta:
        """How long a deployment may stay in `state`."""
        seconds = getattr(self, f"patience_{state}", None)
        if seconds is not None:
            return timedelta(seconds=seconds)
        if state is State.BOOTING and not power_control:
            return PATIENCE_WITHOUT_POWER_CONTROL
        return PATIENCE[state]

    @property
    def sqlite_file(self) -> Path:
        return self.data_dir / "deployer.db"

    @property
    def effective_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.sqlite_file}"

    @property
    def images_dir(self) -> Path:
        return self.data_dir / "images"

    @property
    def keys_dir(self) -> Path:
        return self.data_dir / "keys"

    @property
    def key_file(self) -> Path:
        return self.server_key_file or self.keys_dir / "server.key"

    @property
    def effective_machine_url(self) -> str:
        if self.machine_url:
            return self.machine_url
        host, _, port = self.machine_listen.rpartition(":")
        if host in ("0.0.0.0", "[::]", "*"):
            host = _own_address()
        return f"http://{host}:{port}"


def _own_address() -> str:
    """The address that this machine uses towards others; connecting UDP sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def load(**overrides: Any) -> Settings:
    """The settings; ConfigurationError names the variable, its value and the remedy."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper().removeprefix(PREFIX)
        problem = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(
            f"{name}={first['input']!r}: {problem}",
            field=name,
            value=first["input"],
            remedy=f"correct {name} in the environment or in .env, or remove it",
        ) from None
