"""The sections of an autoinstall, closed and by release.

Subiquity passes over a key that it does not know, so that what was meant does not happen.
https://canonical-subiquity.readthedocs-hosted.com, "Autoinstall configuration reference manual";
autoinstall-schema.json of its releases 21.08.2, 22.04.2, 24.04.4 and 26.04.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from deployer.answers.grammars.curtin_storage import Storage
from deployer.answers.grammars.netplan import Model, Netplan
from deployer.core.documents import Place
from deployer.core.profiles import is_password_hash

# What came after 20.04, and with which release's installer. Compared as text: YY.MM.
SINCE = {
    "source": "22.04", "shutdown": "22.04", "drivers": "22.04", "codecs": "22.04",
    "ubuntu-pro": "22.04", "ubuntu-advantage": "22.04", "active-directory": "24.04",
    "oem": "24.04", "kernel-crash-dumps": "24.04",
    "apt.mirror-selection": "24.04", "apt.fallback": "24.04", "identity.groups": "26.04",
}  # fmt: skip
_URL = re.compile(r"https?://[!-~]+", re.ASCII)
_TOKEN = re.compile(r"C[1-9A-HJ-NP-Za-km-z]{23,29}", re.ASCII)

Command = str | list[str]


def _hash(text: str) -> str:
    if not is_password_hash(text) and text not in ("!", "*"):
        raise ValueError("must be a crypt(3) hash such as `mkpasswd -m sha512crypt` prints")
    return text


def _url(text: str) -> str:
    if text and not _URL.fullmatch(text):
        raise ValueError("must be a URL beginning with http:// or https://")
    return text


def _token(text: str) -> str:
    if text and not _TOKEN.fullmatch(text):
        raise ValueError("must be a token of Ubuntu Pro: C, then 23 to 29 of base 58")
    return text


PasswordHash = Annotated[str, AfterValidator(_hash)]
Url = Annotated[str, AfterValidator(_url)]


class Keyboard(Model):
    layout: str = Field(min_length=1)
    variant: str | None = None
    toggle: str | None = None


class Source(Model):
    id: str | None = None
    search_drivers: bool | None = None


class RefreshInstaller(Model):
    update: bool | None = None
    channel: str | None = None


class Groups(Model):
    override: list[str] | None = None
    append: list[str] | None = None


class Identity(Model):
    """The installer wants all three together."""

    hostname: str = Field(min_length=1)
    username: str = Field(min_length=1)
    password: PasswordHash
    realname: str | None = None
    groups: list[str] | Groups | None = None


class Ssh(Model):
    install_server: bool | None = Field(default=None, alias="install-server")
    authorized_keys: list[str] | None = Field(default=None, alias="authorized-keys")
    allow_pw: bool | None = Field(default=None, alias="allow-pw")


class Snap(Model):
    name: str
    channel: str | None = None
    classic: bool | None = None


class Mirror(Model):
    """As curtin has it."""

    arches: list[str]
    uri: Url | None = None
    search: list[str] | None = None
    search_dns: bool | None = None


class Candidate(Model):
    uri: Url
    arches: list[str] | None = None


class MirrorSelection(Model):
    primary: list[Literal["country-mirror"] | Candidate]


class AptSource(Model):
    source: str | None = None
    key: str | None = None
    keyid: str | None = None
    keyserver: str | None = None
    filename: str | None = None


class Pin(Model):
    package: str
    pin: str
    pin_priority: int = Field(alias="pin-priority")


class Apt(Model):
    preserve_sources_list: bool | None = None
    primary: list[Mirror] | None = None
    security: list[Mirror] | None = None
    mirror_selection: MirrorSelection | None = Field(default=None, alias="mirror-selection")
    fallback: Literal["abort", "offline-install", "continue-anyway"] | None = None
    geoip: bool | None = None
    sources: dict[str, AptSource] | None = None
    sources_list: str | None = None
    disable_suites: list[str] | None = None
    disable_components: list[str] | None = None
    preferences: list[Pin] | None = None
    conf: str | None = None
    debconf_selections: dict[str, str] | None = None
    add_apt_repo_match: str | None = None
    proxy: Url | None = None
    http_proxy: Url | None = None
    https_proxy: Url | None = None
    ftp_proxy: str | None = None


class Install(Model):
    install: bool


class Oem(Model):
    install: bool | Literal["auto"]


class CrashDumps(Model):
    enabled: bool | None


class Kernel(Model):
    package: str | None = None
    flavor: str | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Kernel:
        if (self.package is None) == (self.flavor is None):
            raise ValueError("it is a package or a flavor; name one")
        return self


class Pro(Model):
    token: Annotated[str, AfterValidator(_token)]


class ActiveDirectory(Model):
    admin_name: str = Field(alias="admin-name")
    domain_name: str = Field(alias="domain-name")


class Zdev(Model):
    id: str
    enabled: bool


class Reporter(Model):
    type: Literal["webhook", "print", "log", "journald", "none"]
    endpoint: Url | None = None
    level: Literal["DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL"] | None = None
    consumer_key: str | None = None
    consumer_secret: str | None = None
    token_key: str | None = None
    token_secret: str | None = None
    timeout: int | None = None
    retries: int | None = None
    identifier: str | None = None

    @model_validator(mode="after")
    def _a_webhook_has_an_endpoint(self) -> Reporter:
        if self.type == "webhook" and not self.endpoint:
            raise ValueError("a webhook needs an endpoint")
        return self


class Autoinstall(Model):
    version: Literal[1]
    interactive_sections: list[str] | None = Field(default=None, alias="interactive-sections")
    early_commands: list[Command] = Field(default_factory=list, alias="early-commands")
    late_commands: list[Command] = Field(default_factory=list, alias="late-commands")
    error_commands: list[Command] = Field(default_factory=list, alias="error-commands")
    reporting: dict[str, Reporter] = Field(default_factory=dict)
    locale: str | None = None
    refresh_installer: RefreshInstaller | None = Field(default=None, alias="refresh-installer")
    keyboard: Keyboard | None = None
    source: Source | None = None
    network: Netplan | None = None
    proxy: Url | None = None
    apt: Apt | None = None
    storage: Storage | None = None
    identity: Identity | None = None
    active_directory: ActiveDirectory | None = Field(default=None, alias="active-directory")
    ubuntu_pro: Pro | None = Field(default=None, alias="ubuntu-pro")
    ubuntu_advantage: Pro | None = Field(default=None, alias="ubuntu-advantage")
    ssh: Ssh | None = None
    codecs: Install | None = None
    drivers: Install | None = None
    oem: Oem | None = None
    snaps: list[Snap] | None = None
    debconf_selections: str | None = Field(default=None, alias="debconf-selections")
    packages: list[str] | None = None
    kernel: Kernel | None = None
    kernel_crash_dumps: CrashDumps | None = Field(default=None, alias="kernel-crash-dumps")
    timezone: str | None = None
    updates: Literal["security", "all"] | None = None
    shutdown: Literal["reboot", "poweroff"] | None = None
    user_data: dict[str, Any] | None = Field(default=None, alias="user-data")
    zdevs: list[Zdev] | None = None

    @model_validator(mode="before")
    @classmethod
    def _netplan_may_stand_in_itself(cls, given: Any) -> Any:
        """`network: {network: {...}}`, which 20.04's first installer wanted."""
        network = given.get("network") if isinstance(given, dict) else None
        if isinstance(network, dict) and list(network) == ["network"]:
            return {**given, "network": network["network"]}
        return given

    def commands(self) -> Iterator[tuple[Place, str]]:
        """Those that a shell runs; a list is run without one."""
        for section in ("early-commands", "late-commands", "error-commands"):
            for number, command in enumerate(getattr(self, section.replace("-", "_"))):
                if isinstance(command, str):
                    yield (section, number), command

    def problems(self) -> Iterator[tuple[Place, str]]:
        """What no single section shows: (where, what is wrong)."""
        if self.interactive_sections:
            yield (
                ("interactive-sections",),
                ("the installer would stop and ask, and report nothing; remove it"),
            )
        if self.identity is None and self.user_data is None:
            yield (), "neither identity nor user-data: the installer would stop and ask for a user"
        if not self.error_commands:
            yield (), "no error-commands: a failure would wait for ever, and nobody would hear"
        if not any(reporter.type == "webhook" for reporter in self.reporting.values()):
            yield (), "no webhook in reporting: nobody would see how far the installer is"
        if self.storage is None:
            yield (), "no storage: the installer would take the largest disk"
        for name in ("network", "storage"):
            for place, problem in getattr(self, name).problems() if getattr(self, name) else ():
                yield (name, *place), problem


def too_new(given: dict[str, Any], release: str) -> Iterator[tuple[Place, str]]:
    """Sections that the release's installer does not know yet, and passes over."""
    for path, since in SINCE.items():
        place = tuple(path.split("."))
        found: Any = given
        for part in place:
            found = found.get(part) if isinstance(found, dict) else None
        if found is not None and release < since:
            yield place, f"the installer of {release} passes it over; it came with {since}"
