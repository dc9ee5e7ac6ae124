"""Writes the parts of the documentation that are facts of the code: `python -m lab.docs`.

A block between `<!-- NAME: generated -->` and `<!-- end -->` belongs to this file; tests compare.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from deployer.core.explain import show_duration
from deployer.core.lifecycle import PATIENCE, RESTING, TRANSITIONS, Event, State
from deployer.netboot.loaders import CLIENTS, Loader, Offer, choose, standard
from deployer.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent
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


BLOCKS: dict[str, Callable[[], str]] = {
    "states": states, "patience": patience, "settings": settings, "loaders": loaders,
}  # fmt: skip


def with_current_blocks(text: str) -> str:
    """`text` with each generated block as the code would have it now."""
    return _BLOCK.sub(lambda m: m[1] + BLOCKS[m[2]]() + m[3], text)


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def main() -> None:
    for page in pages():
        page.write_text(with_current_blocks(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
