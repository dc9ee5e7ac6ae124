"""unattend.xml as a whole: passes, the components in them, and for which processor they are.

Setup stops, or asks, at what it does not know; what is for another processor it skips.
"""

from __future__ import annotations

from collections.abc import Iterator

from deployer.answers.grammars.windows_components import COMPONENTS
from deployer.answers.grammars.windows_rules import Problem
from deployer.answers.grammars.windows_xml import NAMESPACE, Node

_TOKEN = "31bf3856ad364e35"
PASSES = (
    "windowsPE", "offlineServicing", "generalize", "specialize", "auditSystem", "auditUser",
    "oobeSystem",
)  # fmt: skip


def problems(root: Node, architecture: str) -> Iterator[Problem]:
    """All that Windows Setup would stop at or skip."""
    if root.name != "unattend":
        yield root.line, f"the root is {root.name}, not unattend in the namespace {NAMESPACE}"
        return
    passes: dict[str, int] = {}
    for settings in root.children:
        if settings.name not in ("settings", "servicing") and "cpi" not in settings.name:
            yield settings.line, f"{settings.name}: only settings stand in unattend"
        if settings.name != "settings":
            continue
        name = settings.attributes.get("pass", "")
        if name not in PASSES:
            yield settings.line, f"there is no pass {name!r}; the passes are {', '.join(PASSES)}"
            continue
        if name in passes:
            yield settings.line, f"the pass {name} stands in line {passes[name]} already"
        passes[name] = settings.line
        yield from _settings(settings, name, architecture)


def _settings(settings: Node, pass_: str, architecture: str) -> Iterator[Problem]:
    seen: dict[tuple[str, str], int] = {}
    for component in settings.children:
        name = component.attributes.get("name", "")
        if component.name != "component":
            yield component.line, f"{component.name}: only components stand in settings"
            continue
        key = (name, component.attributes.get("processorArchitecture", ""))
        if key in seen:
            yield component.line, f"{name} stands in line {seen[key]} of {pass_} already"
        seen[key] = component.line
        yield from _attributes(component, name, architecture)
        yield from _component(component, name, pass_, architecture)
    if settings.children and not any(
        each.attributes.get("processorArchitecture") in (architecture, "neutral")
        for each in settings.children
    ):
        yield settings.line, f"{pass_} holds nothing for {architecture}, so Windows skips it"


def _attributes(component: Node, name: str, architecture: str) -> Iterator[Problem]:
    wanted = {
        "publicKeyToken": {_TOKEN},
        "language": {"neutral"},
        "versionScope": {"nonSxS", "NonSxS"},
    }
    for attribute, values in wanted.items():
        if component.attributes.get(attribute) not in values:
            yield component.line, f'{name} needs {attribute}="{min(values, key=str.swapcase)}"'
    found = component.attributes.get("processorArchitecture")
    if found not in ("amd64", "arm64", "x86", "neutral", "wow64"):
        yield (
            component.line,
            f"{name}: there is no processorArchitecture {found!r}; here it is {architecture}",
        )


def _component(component: Node, name: str, pass_: str, architecture: str) -> Iterator[Problem]:
    known = COMPONENTS.get(name)
    if known is None:
        yield (
            component.line,
            f"{name}: no component of Windows that is known here; Setup stops at it",
        )
        return
    if pass_ not in known[0].split():
        yield component.line, f"{name} is not read in {pass_}, but in {', '.join(known[0].split())}"
        return
    # For another processor it is skipped, and may be wrong.
    if known[1] and component.attributes.get("processorArchitecture") == architecture:
        yield from known[1](component, name.removeprefix("Microsoft-Windows-"))
