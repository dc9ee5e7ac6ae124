"""YAML and JSON with one meaning: safe types, each key once, and the line of every value.

JSON is YAML too, so lines of a JSON text are found by YAML's reader. Hostile text ends in
Unreadable, never in another exception.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from deployer.errors import Invalid

# The way to a value within a document, as pydantic names it.
Place = tuple[str | int, ...]

# libyaml reads ten times as fast; PyYAML may have been built without it.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Nodes are composed by recursion, in C too, where a deep text could end the process.
_DEEPEST = 40
_LONGEST = 400_000  # characters
_CORRECT = "correct the YAML there"
_PLAIN = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
_SURROGATE = re.compile("[\ud800-\udfff]")  # which no program can be given
_UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]|[\u2028\u2029]"
)


class Unreadable(Exception):
    """Text that is no document, or has two meanings; `line` is where, when it is known."""

    def __init__(self, problem: str, line: int | None = None, remedy: str = _CORRECT) -> None:
        super().__init__(problem)
        self.problem, self.line, self.remedy = problem, line, remedy


class Document:
    """One document: its `value`, and where each part of it is."""

    def __init__(self, node: yaml.Node, text_keys: bool = False) -> None:
        self._node = node
        self.first_line: int = node.start_mark.line + 1
        self.value = _Values(text_keys).of(node)

    def line(self, place: Place) -> int:
        """The line where `place` begins, or the nearest value around it. A name that is not in
        the text is passed over: pydantic puts the kind of a model into its places."""
        node: yaml.Node | None = self._node
        line = self.first_line
        for part in place:
            key, value = _child(node, part)
            if key is not None:
                line, node = key.start_mark.line + 1, value
        return line


def read(text: str, text_keys: bool = False) -> list[Document]:
    """All YAML documents of `text`, empty ones too where `---` announces them.

    Unreadable names the line of an alias, a key that is written twice or is no single word (no
    text, with `text_keys`), a type that is not plain data, and nesting deeper than by any hand.
    """
    try:
        _refuse_what_unfolds(text)
        return [Document(node, text_keys) for node in yaml.compose_all(text, Loader=_Parser)]
    except yaml.YAMLError as error:
        raise _unreadable(text, error) from None
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        # Half a character (\ud800), and whatever else a reader stumbles over.
        raise Unreadable(str(error)[:200]) from None


def read_json(text: str) -> Any:
    """The value of a JSON text; Unreadable when it is none, or when its readers could differ."""
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise Unreadable(error.msg, error.lineno, "write JSON") from None
    except RecursionError:
        raise Unreadable("it is nested too deeply", remedy="flatten it") from None
    except ValueError as error:
        raise Unreadable(str(error), remedy="write JSON") from None


def line_of(text: str) -> Callable[[Place], int | None]:
    """Tells the lines of places in `text`; always None where YAML's reader does not follow, or
    would take too long."""
    try:
        documents = read(text) if len(text) <= _LONGEST else []
    except Unreadable:
        documents = []
    return documents[0].line if documents else lambda place: None


def load_all(text: str, file: str) -> list[Any]:
    """Every document in `text` that is not empty; Invalid names file, line and remedy."""
    return [each.value for each in read_file(text, file) if each.value is not None]


def read_file(text: str, file: str) -> list[Document]:
    """As `read`, for files of operators: Invalid names file, line and remedy."""
    try:
        return read(text)
    except Unreadable as error:
        where = f"{file}, line {error.line}" if error.line else file
        raise Invalid(f"{where}: {error.problem}", remedy=error.remedy) from None


def load_one(text: str, file: str) -> Any:
    """The single document in `text`; Invalid when there is none or more."""
    documents = load_all(text, file)
    if len(documents) != 1:
        raise Invalid(f"{file}: expected one YAML document, found {len(documents)}", remedy="")
    return documents[0]


def quoted(value: Any) -> str:
    """`value` as YAML on one line, such as every YAML reader takes: JSON, with what YAML does not
    allow in a text escaped."""
    return _UNPRINTABLE.sub(_escaped, json.dumps(value, ensure_ascii=False, allow_nan=False))


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _refuse_what_unfolds(text: str) -> None:
    if (half := _SURROGATE.search(text)) is not None:
        line = text.count("\n", 0, half.start()) + 1
        raise Unreadable("half a character (\\ud800 to \\udfff) stands here", line)
    depth = 0
    for event in yaml.parse(text, _Parser):
        if isinstance(event, yaml.AliasEvent):
            problem = "aliases (*name) are not accepted"
            raise Unreadable(problem, _line(event), "write the value out")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise Unreadable("nested too deeply", _line(event), "flatten it")


def _line(event: yaml.Event) -> int | None:
    return event.start_mark.line + 1 if event.start_mark else None


def _unreadable(text: str, error: yaml.YAMLError) -> Unreadable:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    if mark is None:
        return Unreadable(str(problem))
    lines = text.splitlines()
    line = min(mark.line + 1, max(len(lines), 1))  # the end of a text is on its last line
    indent = lines[line - 1][: mark.column + 1] if lines else ""
    if "\t" in indent and not indent.strip():
        return Unreadable("a tab indents this line; YAML wants blanks", line)
    return Unreadable(str(problem), line)


class _Values:
    """Plain values of nodes, as PyYAML's safe loader makes them, but without its silence."""

    def __init__(self, text_keys: bool) -> None:
        self._text_keys = text_keys
        self._constructor = yaml.constructor.SafeConstructor()

    def of(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if node.tag not in _PLAIN:
            problem = f"could not determine a constructor for the tag {node.tag!r}"
            raise Unreadable(problem, node.start_mark.line + 1)
        if isinstance(node, yaml.SequenceNode):
            return [self.of(each) for each in node.value]
        return dict(self._pairs(node))

    def _pairs(self, node: yaml.Node) -> Iterator[tuple[Any, Any]]:
        seen: set[Any] = set()
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise Unreadable("a key must be a word, not a list or mapping", line)
            key = self._scalar(key_node)
            if self._text_keys and not isinstance(key, str):
                raise Unreadable(f"the key {key!r} is no text", line, "put it into quotes")
            if key in seen:
                raise Unreadable(f"the key {key!r} is written twice", line)
            seen.add(key)
            yield key, self.of(value_node)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        try:
            return self._constructor.construct_object(node)
        except (yaml.YAMLError, ValueError, TypeError, OverflowError, AttributeError) as error:
            # PyYAML believes that anything like a date or a number is one: 2024-13-45, 0x_.
            problem = getattr(error, "problem", None) or str(error)
            line = node.start_mark.line + 1
            raise Unreadable(str(problem)[:200], line, "put such a value into quotes") from None


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node | None, yaml.Node | None]:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key, value
    return None, None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is given twice in one object, and the first would be lost")
    return made


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
