"""What Windows calls time zones, locales, keyboards, editions and computers, and filters for them.

Each raises ValueError, with the remedy, for what Windows has no name for.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

_ZONES_FILE = Path(__file__).with_name("windows_zones.txt")

# XKB's name -> language:layout, for InputLocale. Microsoft, "Keyboard identifiers and input method
# editors for Windows"; and names of Linux' consoles that operators are used to.
KEYBOARDS = {
    "al": "041c:0000041c", "ara": "0401:00000401", "at": "0c07:00000407", "ba": "141a:0000041a",
    "be": "080c:0000080c", "bg": "0402:00030402", "br": "0416:00000416",
    "br-abnt2": "0416:00010416",
    "by": "0423:00000423", "ca": "0c0c:00001009", "cf": "0c0c:00001009", "ch": "0807:00000807",
    "ch-de": "0807:00000807", "ch-fr": "100c:0000100c", "cz": "0405:00000405",
    "cz-qwerty": "0405:00010405", "de": "0407:00000407", "de-ch": "0807:00000807",
    "de-latin1": "0407:00000407", "de-nodeadkeys": "0407:00000407", "dk": "0406:00000406",
    "ee": "0425:00000425", "es": "040a:0000040a", "fi": "040b:0000040b", "fr": "040c:0000040c",
    "fr-ch": "100c:0000100c", "fr-latin1": "040c:0000040c", "gb": "0809:00000809",
    "ge": "0437:00010437", "gr": "0408:00000408", "hr": "041a:0000041a", "hu": "040e:0000040e",
    "ie": "1809:00001809", "il": "040d:0000040d", "in": "4009:00004009", "ir": "0429:00000429",
    "is": "040f:0000040f", "it": "0410:00000410", "jp": "0411:00000411", "kr": "0412:00000412",
    "kz": "043f:0000043f", "la": "0454:00000454", "latam": "080a:0000080a", "lt": "0427:00010427",
    "lv": "0426:00020426", "mk": "042f:0001042f", "mt": "043a:0000043a", "nl": "0413:00020409",
    "no": "0414:00000414", "nz": "1409:00001409", "pl": "0415:00000415", "pt": "0816:00000816",
    "ro": "0418:00010418", "rs": "281a:00000c1a", "rs-latin": "241a:0000081a",
    "ru": "0419:00000419",
    "se": "041d:0000041d", "si": "0424:00000424", "sk": "041b:0000041b",
    "sk-qwerty": "041b:0001041b", "th": "041e:0000041e", "tr": "041f:0000041f",
    "tw": "0404:00000404", "ua": "0422:00020422", "uk": "0809:00000809", "us": "0409:00000409",
    "us-dvorak": "0409:00010409", "us-intl": "0409:00020409", "vn": "042a:0000042a",
    "cn": "0804:00000804",
}  # fmt: skip

# A language alone is no locale of an account: here, where it is spoken most.
_REGIONS = {
    "C": "en-US", "POSIX": "en-US", "bg": "bg-BG", "cs": "cs-CZ", "da": "da-DK", "de": "de-DE",
    "el": "el-GR", "en": "en-US", "es": "es-ES", "et": "et-EE", "fi": "fi-FI", "fr": "fr-FR",
    "hr": "hr-HR", "hu": "hu-HU", "it": "it-IT", "ja": "ja-JP", "ko": "ko-KR", "lt": "lt-LT",
    "lv": "lv-LV", "nb": "nb-NO", "nl": "nl-NL", "pl": "pl-PL", "pt": "pt-BR", "ro": "ro-RO",
    "ru": "ru-RU", "sk": "sk-SK", "sl": "sl-SI", "sv": "sv-SE", "tr": "tr-TR", "uk": "uk-UA",
}  # fmt: skip
# Where Windows writes another name than glibc.
_LOCALES = {
    "no-NO": "nb-NO", "sr-RS": "sr-Cyrl-RS", "sr-RS@latin": "sr-Latn-RS", "sr-ME": "sr-Latn-ME",
    "bs-BA": "bs-Latn-BA", "uz-UZ": "uz-Latn-UZ", "az-AZ": "az-Latn-AZ", "iw-IL": "he-IL",
    "tl-PH": "fil-PH", "ca-ES@valencia": "ca-ES-valencia",
}  # fmt: skip

# vars.edition -> EDITIONID and INSTALLATIONTYPE of an image, as `dism /Get-ImageInfo` prints them.
EDITIONS = {
    "home": ("Core", "Client"),
    "pro": ("Professional", "Client"),
    "education": ("Education", "Client"),
    "enterprise": ("Enterprise", "Client"),
    "enterprise-eval": ("EnterpriseEval", "Client"),
    "enterprise-ltsc": ("EnterpriseS", "Client"),
    "iot-enterprise-ltsc": ("IoTEnterpriseS", "Client"),
    "standard": ("ServerStandard", "Server"),
    "standard-core": ("ServerStandard", "Server Core"),
    "datacenter": ("ServerDatacenter", "Server"),
    "datacenter-core": ("ServerDatacenter", "Server Core"),
    "standard-eval": ("ServerStandardEval", "Server"),
    "standard-core-eval": ("ServerStandardEval", "Server Core"),
    "datacenter-eval": ("ServerDatacenterEval", "Server"),
    "datacenter-core-eval": ("ServerDatacenterEval", "Server Core"),
}

# Accounts and groups that every Windows has, or words that it takes for something else.
_TAKEN = frozenset({
    "administrator", "administrators", "guest", "guests", "users", "system", "none", "nul", "con",
    "aux", "prn", "defaultaccount", "wdagutilityaccount", "network", "service", "local", "sshd",
    "everyone",
})  # fmt: skip


@lru_cache(maxsize=1)
def zones() -> dict[str, str]:
    """IANA name -> Windows' name."""
    lines = _ZONES_FILE.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return {name: windows for windows, names in rows for name in names.split()}


def zone(name: str) -> str:
    if name not in zones():
        raise ValueError(
            f"timezone: Windows has no time zone that follows {name}; name another one"
        )
    return zones()[name]


def keyboard(name: str) -> str:
    if name not in KEYBOARDS:
        raise ValueError(
            f"keyboard: no layout of Windows is known for {name!r}; use one of"
            f" {', '.join(sorted(KEYBOARDS))}"
        )
    return KEYBOARDS[name]


def locale(name: str) -> str:
    """`de_CH.UTF-8` -> de-CH; the character set is always Unicode here."""
    base, _, variant = name.partition("@")
    tag = base.split(".")[0].replace("_", "-")
    tag = _LOCALES.get(f"{tag}@{variant}") or _LOCALES.get(tag) or _REGIONS.get(tag) or tag
    if not re.fullmatch(r"[a-z]{2,3}(-[A-Z][a-z]{3})?-[A-Z]{2}(-valencia)?", tag):
        raise ValueError(
            f"locale: {name!r} names no region, which Windows needs; write de_DE.UTF-8"
        )
    return tag


def edition(name: Any, known: list[str]) -> list[str]:
    if name not in known or name not in EDITIONS:
        raise ValueError(f"vars.edition: there is no {name!r}; choose one of: {', '.join(known)}")
    return list(EDITIONS[name])


def computer(name: str) -> str:
    """The first label of a host's name: the NetBIOS name is the computer's name, and has 15."""
    label = name.split(".")[0]
    if len(label) > 15:
        raise ValueError(
            f"host: {label!r} has {len(label)} characters, and a computer's name in Windows at most"
            " 15; give the host a shorter name"
        )
    if label.isdigit():
        raise ValueError(f"host: {label!r} are digits alone, which Windows takes for no name")
    return label


def user(name: str, host: str) -> str:
    taken = name.lower() in _TAKEN or name.lower() == host.split(".")[0].lower()
    if taken or len(name) > 20:
        raise ValueError(
            f"users: Windows takes no account {name!r}: at most 20 characters, no name of its own"
            f" accounts and groups, and not the computer's ({host.split('.')[0]}); rename it"
        )
    return name


def kms_host(server: Any) -> str | None:
    """HOST or HOST:PORT of a key management service; a port can be given in a URL alone."""
    if server is None:
        return None
    rest = str(server).rpartition("://")[2]
    if "/" in rest.rstrip("/") or not re.fullmatch(
        r"[A-Za-z0-9.-]+(:[0-9]{1,5})?", rest.rstrip("/")
    ):
        raise ValueError(
            "registration.server: a KMS host is a name, such as kms.example.org, or with its port"
            f" http://kms.example.org:1688; {server!r} is neither"
        )
    return rest.rstrip("/")
