"""YAML of an answer file, as PyYAML's safe loader takes it, with the line of each value.

Stricter than that loader where it keeps silent: a key written twice, tabs, several documents.
Hostile text ends in a Problem, never in another exception, and is given up early.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

Place = tuple[str | int, ...]
_DEEPEST = 40
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it is built
_UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]|[\u2028\u2029]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")  # which no program can be given


class Problem(Exception):
    """Text that is no such YAML; `line` is where, when it is known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message, self.line = message, line


@dataclass
class Document:
    """The single document of a text, and the line of each key or item in it."""

    value: Any
    lines: dict[Place, int] = field(default_factory=dict)

    def line(self, place: Place) -> int | None:
        """Of the value at `place`, or of the nearest one around it; names in between that are
        not in the text (a kind of model, of a union) are passed over."""
        known: Place = ()
        for part in place:
            if (*known, part) in self.lines:
                known = (*known, part)
        return self.lines.get(known)


def load(text: str) -> Document:
    """Problem when it is not exactly one document without aliases."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line[: len(line) - len(line.lstrip())].count("\t"):
            raise Problem("a tab indents this line; YAML wants blanks", number)
        if _SURROGATE.search(line):
            raise Problem("half a character (\\ud800 to \\udfff) stands here", number)
    try:
        _refuse_depth(text)
        node = yaml.compose(text, _PARSER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise Problem(str(said), mark.line + 1 if mark else None) from None
    document = Document(None)
    document.value = _built(node, (), document.lines, yaml.SafeLoader(""))
    return document


def _refuse_depth(text: str) -> None:
    """Composing is recursive, in C too, where too deep a text would end the process."""
    depth = documents = 0
    for event in yaml.parse(text, _PARSER):
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent):
            raise Problem("an alias (*name) stands here; write the value out", line)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if depth > _DEEPEST:
            raise Problem("it is nested too deeply", line)
        if documents > 1:
            raise Problem("a second document begins here, which nobody reads", line)


def _built(node: Any, place: Place, lines: dict[Place, int], loader: yaml.SafeLoader) -> Any:
    if node is None:
        return None
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, lines, loader)
    if isinstance(node, yaml.SequenceNode):
        return [
            _built(each, (*place, number), lines, loader) for number, each in enumerate(node.value)
        ]
    return _scalar(node, loader)


def _mapping(
    node: yaml.MappingNode, place: Place, lines: dict[Place, int], loader: yaml.SafeLoader
) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = _scalar(key_node, loader) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            shown = getattr(key_node, "value", "")
            raise Problem(f"the key {str(shown)[:80]!r} is no text; put it into quotes", line)
        if key in built:
            raise Problem(f"the key {key!r} is written twice; only the last one would count", line)
        lines[*place, key] = line
        built[key] = _built(value_node, (*place, key), lines, loader)
    return built


def _scalar(node: yaml.ScalarNode, loader: yaml.SafeLoader) -> Any:
    if _SURROGATE.search(node.value):
        raise Problem("half a character (\\ud800 to \\udfff) stands here", node.start_mark.line + 1)
    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        # PyYAML believes that anything like a date or a number is one: 2024-13-45.
        said = getattr(error, "problem", None) or str(error)
        raise Problem(str(said)[:200], node.start_mark.line + 1) from None


def quoted(value: Any) -> str:
    """`value` as YAML on one line, such as every YAML reader takes: JSON, with what YAML does not
    allow in a text escaped."""
    return _UNPRINTABLE.sub(_escaped, json.dumps(value, ensure_ascii=False, allow_nan=False))


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
