"""The boot.cfg by which mboot loads ESXi: its lines, and the files and options that it names.

Broadcom, "VMware ESXi Installation and Setup" 7.0 and 8.0, "About the boot.cfg File".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Problems = Iterator[tuple[int | None, str]]
_BOOT_KEYS = {
    "bootstate", "title", "timeout", "prefix", "kernel", "kernelopt", "modules", "build", "updated",
    "nobootif", "norts", "noquirks", "runtimewd", "crypto", "acpitables", "quickboot",
}  # fmt: skip


def problems(text: str, context: dict[str, Any]) -> Problems:
    seen: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or key not in _BOOT_KEYS:
            yield number, f"{line[:60]!r} is no line of a boot.cfg"
        elif key in seen:
            yield number, f"{key} stands in line {seen[key][0]} already; mboot reads one of them"
        else:
            seen[key] = (number, value)
    for key in ("prefix", "kernel", "kernelopt", "modules"):
        if key not in seen:
            yield None, f"there is no {key}"
    yield from _boot_files(seen, context)
    if "kernelopt" in seen:
        yield from _kernelopt(*seen["kernelopt"])
    if "prefix" in seen and not seen["prefix"][1].startswith(("http://", "https://")):
        yield (
            seen["prefix"][0],
            "prefix is no URL, so mboot would look beside itself",
        )


def _boot_files(seen: dict[str, tuple[int, str]], context: dict[str, Any]) -> Problems:
    """A path from the root escapes the prefix; and names are compared by the letter over HTTP."""
    known = {file["path"] for file in (context["image"] or {}).get("files", [])}
    for key in ("kernel", "modules"):
        number, value = seen.get(key, (0, ""))
        for name in value.split(" --- ") if value else []:
            path = (name.split() or [""])[0]
            if path.startswith("/"):
                yield number, f"{path} begins with a slash, so the prefix would not be used"
            elif path not in known:
                yield number, f"{path!r} is no file of the image; mboot would stop with error 15"


def _kernelopt(number: int, value: str) -> Problems:
    words = value.split()
    if "runweasel" not in words:
        yield number, "kernelopt has no runweasel, so no installer would start"
    if "cdromBoot" in words:
        yield number, "cdromBoot has the installer look for a disc; remove it"
    sources = [word for word in words if word.startswith("ks=")]
    if len(sources) != 1:
        yield number, "kernelopt needs one ks=, or the installer asks everything"
    elif "&" in sources[0]:
        yield number, "an & in ks= ends the URL there"
