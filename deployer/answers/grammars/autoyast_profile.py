"""A profile of AutoYaST as YaST's own reader would take it: elements, their types and values.

YaST's schema sees unknown elements, and takes any value for any leaf; this says more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from xml.parsers import expat

NAMESPACE = "http://www.suse.com/1.0/yast2ns"
CONFIG = "http://www.suse.com/1.0/configns"
_ELEMENTS_FILE = Path(__file__).with_name("autoyast_elements.txt")
_DEEPEST = 40  # a profile needs ten
_TYPED = frozenset({"boolean", "integer", "symbol", "list"})


@dataclass
class Node:
    """An element: where it begins, what type its writer gave it, and what it holds."""

    name: str
    line: int
    type: str | None
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def child(self, path: str) -> Node | None:
        """The first element at `path`, such as general/mode."""
        found: Node | None = self
        for name in path.split("/"):
            found = next((c for c in found.children if c.name == name), None) if found else None
        return found

    def value(self, path: str) -> str | None:
        """The text at `path`; YaST removes the blanks around it."""
        found = self.child(path)
        return found.text.strip() if found else None

    def all(self, path: str) -> list[Node]:
        """The entries of the list at `path`."""
        found = self.child(path)
        return found.children if found else []


class Refused(Exception):
    """XML that is not read any further; `line` is where."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line, self.problem = line, problem


Problem = tuple[int | None, str]


class Reader:
    """Builds nodes out of expat's events. Without a DOCTYPE there is no entity to expand."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._open: list[Node] = []
        # The text is decoded already; what its first line says of an encoding does not hold.
        self._parser = expat.ParserCreate("utf-8", namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype

    def read(self, text: str) -> Node:
        try:
            self._parser.Parse(text.encode(), True)
        except expat.ExpatError as error:
            raise Refused(error.lineno, f"it is no XML: {expat.ErrorString(error.code)}") from None
        assert self.root is not None
        return self.root

    def _doctype(self, *_: Any) -> None:
        raise Refused(
            self._parser.CurrentLineNumber,
            "a DOCTYPE can define entities and is refused; AutoYaST needs none, remove the line",
        )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        line = self._parser.CurrentLineNumber
        if len(self._open) >= _DEEPEST:
            raise Refused(line, f"elements are nested more than {_DEEPEST} deep")
        namespace, _, name = tag.rpartition(" ")
        if namespace not in (NAMESPACE, ""):
            self.problems.append((line, f"<{name}> is of another namespace than {NAMESPACE}"))
        node = Node(name, line, self._type(name, line, attributes))
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
            if namespace != NAMESPACE:
                self.problems.append((line, f'<{name}> needs xmlns="{NAMESPACE}"'))
        self._open.append(node)

    def _type(self, name: str, line: int, attributes: dict[str, str]) -> str | None:
        given = {
            key: attributes[key] for key in ("t", "type", f"{CONFIG} type") if key in attributes
        }
        if unknown := sorted(set(attributes) - set(given)):
            self.problems.append(
                (line, f"<{name}> has the attribute {unknown[0]!r}, not known here")
            )
        if len(given) > 1:
            self.problems.append((line, f"<{name}> has its type twice, which YaST refuses to read"))
        return next(iter(given.values()), None)

    def _characters(self, text: str) -> None:
        self._open[-1].text += text

    def _end(self, _: str) -> None:
        self._open.pop()


# --- elements and their types ------------------------------------------------------------------


@cache
def elements() -> dict[str, tuple[str, frozenset[str]]]:
    """Path → type, and the words or entries that it may hold."""
    lines = _ELEMENTS_FILE.read_text(encoding="utf-8").splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    known = {path: (kind, frozenset(rest)) for path, kind, *rest in words}
    for kind, own in SCRIPTS.items():
        known[f"scripts/{kind}/script"] = ("map", frozenset())
        for name in own:
            known[f"scripts/{kind}/script/{name}"] = _SCRIPT_TYPES[name]
    return known


_SCRIPT_TYPES: dict[str, tuple[str, frozenset[str]]] = {
    "filename": ("string", frozenset()),
    "interpreter": ("string", frozenset()),
    "location": ("string", frozenset()),
    "source": ("string", frozenset()),
    "debug": ("boolean", frozenset()),
    "feedback": ("boolean", frozenset()),
    "feedback_type": ("string", frozenset({"message", "warning", "error"})),
    "notification": ("string", frozenset()),
    "param-list": ("any", frozenset()),
    "rerun": ("boolean", frozenset()),
    "chrooted": ("boolean", frozenset()),
}
_SCRIPT = [name for name in _SCRIPT_TYPES if name != "chrooted"]
SCRIPTS = {
    "pre-scripts": _SCRIPT, "postpartitioning-scripts": _SCRIPT, "post-scripts": _SCRIPT,
    "chroot-scripts": [*_SCRIPT, "chrooted"],
    # systemd runs these, not YaST.
    "init-scripts": ["filename", "location", "source", "debug"],
}  # fmt: skip


def grammar(node: Node, path: str) -> Iterator[Problem]:
    """Whether what `node` holds is what AutoYaST knows at `path`."""
    kind, words = elements()[path] if path else ("map", frozenset[str]())
    yield from _typed(node, kind)
    if kind == "any":
        yield from _readable(node)
    elif kind == "map":
        yield from _map(node, path)
    elif kind == "list":
        yield from _list(node, path, words)
    else:
        yield from _leaf(node, kind, words)


def _typed(node: Node, kind: str) -> Iterator[Problem]:
    if kind in _TYPED and node.type is None:
        yield (
            node.line,
            f'<{node.name}> needs t="{kind}"; without, YaST takes it for something else',
        )
    elif kind != "any" and node.type not in (None, kind):
        yield node.line, f'<{node.name}> is t="{kind}", not {node.type!r}'


def _readable(node: Node) -> Iterator[Problem]:
    """What YaST's reader says of any element (yast-yast2, library/xml/src/modules/XML.rb)."""
    if node.type not in (None, "string", "disksize", "symbol", "integer", "boolean", "list", "map"):
        yield node.line, f"<{node.name}> is of type {node.type!r}, which YaST does not know"
    if node.type in ("boolean", "integer", "symbol"):
        yield from _leaf(node, node.type, frozenset())
    if node.children and node.text.strip() and node.type is None:
        yield node.line, f"<{node.name}> holds both text and elements"
    for child in node.children:
        yield from _readable(child)


def _map(node: Node, path: str) -> Iterator[Problem]:
    if node.text.strip():
        yield node.line, f"<{node.name}> holds elements, and this text is none"
    seen: dict[str, int] = {}
    for child in node.children:
        if child.name in seen:
            yield (
                child.line,
                f"<{child.name}> stands in line {seen[child.name]} already, and YaST keeps one",
            )
        seen[child.name] = child.line
        inner = f"{path}/{child.name}".lstrip("/")
        if inner in elements():
            yield from grammar(child, inner)
        else:
            yield child.line, f"AutoYaST knows no <{child.name}> in {_shown(path)}"


def _list(node: Node, path: str, names: frozenset[str]) -> Iterator[Problem]:
    if node.text.strip():
        yield node.line, f"<{node.name}> is a list, and this text is no entry"
    first = next((f"{path}/{name}" for name in (*sorted(names), "listentry")
                  if f"{path}/{name}" in elements()), None)  # fmt: skip
    for child in node.children:
        if child.name not in names | {"listentry"}:
            entries = " or ".join(sorted(names | {"listentry"}))
            yield child.line, f"<{child.name}> is no entry of {_shown(path)}; write {entries}"
            continue
        own = f"{path}/{child.name}"
        if own in elements() or first:
            yield from grammar(child, own if own in elements() else str(first))


def _leaf(node: Node, kind: str, words: frozenset[str]) -> Iterator[Problem]:
    text = node.text.strip()
    if node.children:
        yield node.children[0].line, f"<{node.name}> holds a value, and no elements"
    elif kind == "boolean" and text not in ("true", "false"):
        yield node.line, f"<{node.name}> is true or false, not {text!r}"
    elif kind == "integer" and not re.fullmatch(r"-?[0-9]{1,18}", text):
        yield node.line, f"<{node.name}> is a number, not {text!r}"
    elif kind == "symbol" and not text:
        yield node.line, f"<{node.name}> is empty, which YaST refuses to read"
    elif words and text not in words:
        yield node.line, f"<{node.name}> is {', '.join(sorted(words))}, not {text!r}"


def _shown(path: str) -> str:
    return f"<{path.rpartition('/')[2]}>" if path else "a profile"
