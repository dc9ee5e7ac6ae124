"""Writes the parts of the documentation that are facts of the code: `python -m lab.docs`.

A block between `<!-- NAME: generated -->` and `<!-- end -->` belongs to this file; tests compare.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from deployer.answers.families import Catalogue, load_model
from deployer.core.effects import KINDS
from deployer.core.explain import show_duration
from deployer.core.families import Family
from deployer.core.inventory import HostSpec
from deployer.core.lifecycle import (
    PATIENCE,
    RESTING,
    TRANSITIONS,
    Event,
    State,
    expected_events,
    next_state,
)
from deployer.core.network import Network
from deployer.core.profiles import DISKS_OF, AnswerFile, ProfileSpec, SecretRef
from deployer.core.workflows import Step, Workflow
from deployer.drivers.power.base import Context, PowerDriver
from deployer.drivers.redfish import products
from deployer.netboot.loaders import CLIENTS, Loader, Offer, choose, standard
from deployer.services.parts import POWER_DRIVERS
from deployer.services.power import check
from deployer.settings import PREFIX, Settings
from lab import chat_docs

ROOT = Path(__file__).parent.parent
CATALOGUE = Catalogue([ROOT / "answerfiles"])
WORKFLOWS = [load_model(Workflow, file) for file in sorted((ROOT / "workflows").glob("*.yaml"))]
_BLOCK = re.compile(r"(<!-- (\w+): generated -->\n).*?(<!-- end -->)", re.DOTALL)
_ENDINGS = {Event.EFFECT_FAILED, Event.TIMED_OUT, Event.CANCEL}


def states() -> str:
    """The transition table as a Mermaid diagram; what ends any unfinished state is one line."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> queued"]
    lines += [
        f"    {a} --> {b}: {event}"
        for (a, event), b in TRANSITIONS.items()
        if event not in _ENDINGS
    ]
    lines += [f"    {state} --> [*]" for state in State if state in RESTING]
    lines += ["```", ""]
    endings = ", ".join(f"`{event}` → {_target(event)}" for event in Event if event in _ENDINGS)
    return "\n".join([*lines, f"From every unfinished state: {endings}.", ""])


def _target(event: Event) -> str:
    return TRANSITIONS[State.QUEUED, event]


def workflow(shown: Workflow) -> str:
    """Each state with its steps, one after the other; who moves it on where none of them does."""
    happy = [State.QUEUED]
    while happy[-1] not in RESTING:
        happy.append(State(TRANSITIONS[happy[-1], expected_events(happy[-1])[0]]))
    lines = ["```mermaid", "flowchart TD"]
    for state in happy[:-1]:
        boxes = [_box(step) for step in shown.on.get(state, [])]
        if not _moves_on(shown.on.get(state, []), state):
            boxes.append(f'(["the machine says {expected_events(state)[0]}"])')
        named = [f"{state}{number}{box}" for number, box in enumerate(boxes, 1)]
        lines += [f"    subgraph {state}", f"        {' --> '.join(named)}", "    end"]
    lines.append(f"    {' --> '.join(happy)}")
    lines += ["```", ""]
    return "\n".join(lines)


# What an effect reports, beside its line in the history.
_REPORTS = {"power.boot_once": Event.START, "ssh.verify": Event.VERIFIED}


def _moves_on(steps: list[Step], state: State) -> bool:
    said = [step.say or _REPORTS.get(step.do or "") for step in steps]
    return any(event and next_state(state, event) for event in said)


def _box(step: Step) -> str:
    """What it does, with what, and on which condition; an event has round ends."""
    words = [step.do or f"say {step.say}"]
    words += [f"{name}: {_plain(value)}" for name, value in step.with_.items()]
    words += [f"when {step.when}"] if step.when else []
    words += [f"unless {step.unless}"] if step.unless else []
    words += ["may fail"] if step.on_failure == "go_on" else []
    text = "<br>".join(words).replace('"', "#quot;")
    return f'["{text}"]' if step.do else f'(["{text}"])'


def _plain(value: Any) -> str:
    text = {True: "yes", False: "no"}.get(value) if isinstance(value, bool) else None
    return text or " ".join(str(value).split())


def effects() -> str:
    """What a step can do, and what it takes under `with`."""
    rows = [["effect", "does", "`with`"]]
    for name, kind in KINDS.items():
        fields = kind.takes.model_fields.items()
        given = ", ".join(f"`{field.alias or each}`" for each, field in fields)
        rows.append([f"`{name}`", kind.summary, given])
    return _table(rows)


def patience() -> str:
    """How long each state may last, unless set."""
    rows = [f"| `{state}` | {show_duration(span)} |" for state, span in PATIENCE.items()]
    return "\n".join(["| state | longest wait |", "| --- | --- |", *rows, ""])


def settings() -> str:
    """Every environment variable with its default."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default_factory or field.default in (None, "") else field.default
        shown = f"`{default}`" if default != "" else ""
        rows.append(f"| `{PREFIX}{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows, ""])


def loaders() -> str:
    """Which file each firmware is given, by what the site wants and by Secure Boot."""
    rows = []
    for client in CLIENTS.values():
        chosen = [choose(client.code, want, False, standard()) for want in Loader]
        signed = choose(client.code, Loader.IPXE, True, standard())
        files = [f"`{one.file}`" if isinstance(one, Offer) else "" for one in (*chosen, signed)]
        rows.append(f"| {client.code} | {client.label} | {' | '.join(files)} |")
    head = "| option 93 | firmware | `--loader ipxe` | `grub` | `pxelinux` | with Secure Boot |"
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- |", *rows, ""])


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """`storage.volumes.fs` and so on: each field that an installer can do or not."""
    for name, field in model.model_fields.items():
        inner = [each for each in _parts(field.annotation) if issubclass(each, BaseModel)]
        inner = [each for each in inner if each not in (SecretRef, AnswerFile)]
        if len(inner) == 1:
            yield from _fields(inner[0], f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _parts(annotation: Any) -> Iterator[type]:
    for each in get_args(annotation):
        yield from _parts(each)
    if isinstance(annotation, type):
        yield annotation


# Not for the installer: what we do with them ourselves.
_OURS = (
    "name", "os", "release", "arch", "workflow", "storage.disk", "storage.layout",
    "storage.passphrase", "vars", "verify", "answer_files",
)  # fmt: skip


def _columns() -> list[tuple[str, Family]]:
    """A family, and apart from it each release that does some things in its own way."""
    columns = []
    for name in CATALOGUE.names():
        found = CATALOGUE.get(name)
        assert found is not None
        ways: dict[str, tuple[list[str], Family]] = {}
        for release in found.family.releases:
            at = found.family.at(release.version)
            key = f"{at.installer} {at.unsupported} {at.layouts} {at.proof}"
            ways.setdefault(key, ([], at))[0].append(release.version)
        for versions, at in ways.values():
            columns.append((name if len(ways) == 1 else f"{name} {', '.join(versions)}", at))
    return columns


def os_support() -> str:
    """Field by OS: rendered (a tick), or refused by name before anything is touched."""
    columns = [(name, at) for name, at in _columns() if at.task == "install"]
    fields = [f for f in _fields(ProfileSpec) if not f.startswith(_OURS)]
    fields += [f"network.{f}" for f in _fields(Network) if f != "interfaces.name"]
    rows = [
        [f"`{field}`", *("✓" if not _refused(field, at) else "" for _, at in columns)]
        for field in fields
    ]
    layouts = [
        [f"layout `{layout}`", *("✓" if layout in at.layouts else "" for _, at in columns)]
        for layout in DISKS_OF
    ]
    head = ["", *(name for name, _ in columns)]
    return _table([head, *layouts, *rows])


def _refused(field: str, family: Family) -> bool:
    return any(field == each or field.startswith(f"{each}.") for each in family.unsupported)


def os_proof() -> str:
    """Per OS: what ran for real, and what only its validator has seen."""
    rows = [
        [name, ", ".join(at.arches), at.installer, at.proof.ran or "nothing", at.proof.checked]
        for name, at in _columns()
        if at.proof
    ]
    return _table([["OS", "arch", "installer", "ran for real", "checked by"], *rows])


def media() -> str:
    """Per OS: the medium to get, where, and the command that makes an image of it."""
    rows = []
    for name in CATALOGUE.names():
        found = CATALOGUE.get(name)
        assert found is not None
        rows += [
            [name, medium.medium, medium.url or "", f"`{medium.command()}`"]
            for medium in found.family.media
            if medium.refuse is None
        ]
    return _table([["OS", "medium", "from", "command"], *rows])


def power() -> str:
    """Per power driver: its settings, and what it overrides of the base."""
    rows = [["driver", "settings", "boots once by", "state", "off", "virtual media"]]
    for settings in power_examples():
        spec = HostSpec.model_validate(
            {"name": "web01", "macs": ["52:54:00:12:34:56"], "power": settings}
        )
        kind = POWER_DRIVERS[spec.power.driver]
        driver = kind(check(spec), Context(spec))
        has = ["✓" if _overrides(kind, act) else "" for act in ("state", "off", "insert_media")]
        fields = [f"`{n}`" if f.is_required() else f"[`{n}`]" for n, f in
                  kind.Settings.model_fields.items()]  # fmt: skip
        methods = ", ".join(f"`{method}`" for method in driver.methods)
        rows.append([f"`{kind.name}`", " ".join(fields), methods, *has])
    return _table(rows)


def power_examples() -> list[dict[str, Any]]:
    """What stands under `power:` in the examples of docs/power.md, one for each driver."""
    text = (ROOT / "docs" / "power.md").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = {}
    for block in re.findall(r"^```yaml\n(power:.*?)^```", text, re.DOTALL | re.MULTILINE):
        settings = yaml.safe_load(block)["power"]
        found.setdefault(settings["driver"], settings)
    return list(found.values())


def _overrides(kind: type[PowerDriver], act: str) -> bool:
    return getattr(kind, act) is not getattr(PowerDriver, act)


def redfish() -> str:
    """What is peculiar to a vendor's BMC."""
    rows = [[entry.name, entry.note, entry.seen] for entry in products.known()]
    return _table([["BMC", "known", "from"], *rows])


def _table(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:], ""])


BLOCKS: dict[str, Callable[[], str]] = {
    "states": states, "patience": patience, "settings": settings, "loaders": loaders,
    "os_support": os_support, "os_proof": os_proof, "media": media, "effects": effects,
    "power": power, "redfish": redfish,
    "chat_commands": lambda: _table(chat_docs.commands()),
    "chat_platforms": lambda: _table(chat_docs.platforms()),
    "chat_messages": chat_docs.messages,
    **{f"workflow_{each.name}": partial(workflow, each) for each in WORKFLOWS},
}  # fmt: skip


def with_current_blocks(text: str) -> str:
    """`text` with each generated block as the code would have it now."""
    return _BLOCK.sub(lambda m: m[1] + BLOCKS[m[2]]() + m[3], text)


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def main() -> None:
    for page in pages():
        page.write_text(with_current_blocks(page.read_text(encoding="utf-8")), encoding="utf-8")
    for name in chat_docs.DRAWN:
        file = ROOT / "docs" / "chat" / f"{name}.json"
        file.write_text(chat_docs.payloads(name), encoding="utf-8")


if __name__ == "__main__":
    main()
