"""YAML, and JSON, which YAML's reader reads too, as plain values with the line of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

# The reader in C, where PyYAML has it, is ten times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# More than this would take even that one too long.
LONGEST = 400_000
Path = tuple[str | int, ...]


class Unreadable(Exception):
    """Text that is no YAML, or has two meanings."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.problem, self.line = problem, line


class Document:
    """One document: its `value`, and where each part of it is."""

    def __init__(self, node: yaml.Node) -> None:
        self._node = node
        self.line_of_it = node.start_mark.line + 1
        self.value = _value(node, set())

    def line(self, place: Path) -> int:
        """The line where `place` begins, or what is nearest to it on the way there."""
        node: yaml.Node | None = self._node
        line = self.line_of_it
        for part in place:
            key, node = _child(node, part)
            if key is None:
                break
            line = key.start_mark.line + 1
        return line


def read(text: str) -> list[Document]:
    """All documents; Unreadable names the line. Aliases and keys written twice are refused."""
    if len(text) > LONGEST:
        raise Unreadable(f"it is longer than {LONGEST} characters")
    try:
        return [Document(node) for node in yaml.compose_all(text, Loader=_LOADER)]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise Unreadable(problem, mark.line + 1 if mark else None) from None
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        # PyYAML believes that anything like a date or number is one: 2024-13-45, 0x_.
        raise Unreadable(f"{error}; put such a value into quotes") from None


def places_of(names: list[str], given: Any, place: Path = ()) -> Iterator[Path]:
    """Where in `given` the value `names` stands, in each entry of the lists on the way there."""
    if isinstance(given, list):
        for number, each in enumerate(given):
            yield from places_of(names, each, (*place, number))
    elif not names:
        yield place
    elif isinstance(given, dict) and names[0] in given:
        yield from places_of(names[1:], given[names[0]], (*place, names[0]))


def _value(node: yaml.Node, seen: set[int]) -> Any:
    if id(node) in seen:
        raise Unreadable("aliases (*name) are not accepted here", node.start_mark.line + 1)
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        return [_value(each, seen) for each in node.value]
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, seen)
    return SafeConstructor().construct_object(node)


def _mapping(node: yaml.MappingNode, seen: set[int]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise Unreadable("a key must be a word, not a list or mapping", line)
        key = _value(key_node, seen)
        if key in made:
            raise Unreadable(f"the key {key!r} is written twice", line)
        made[key] = _value(value_node, seen)
    return made


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node | None, yaml.Node | None]:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key, value
    return None, None
