"""unattend.xml as a tree whose elements know their line."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

NAMESPACE = "urn:schemas-microsoft-com:unattend"
_WCM = "http://schemas.microsoft.com/WMIConfig/2002/State"


@dataclass
class Node:
    """An element; names without our namespace, and others as `{NAMESPACE}name`."""

    name: str
    line: int
    attributes: dict[str, str]
    children: list[Node] = field(default_factory=list)
    text: str = ""

    def child(self, name: str) -> Node | None:
        return next((each for each in self.children if each.name == name), None)

    def find(self, path: str) -> list[Node]:
        """All elements at `A/B/C` below this one."""
        found = [self]
        for part in path.split("/"):
            found = [each for node in found for each in node.children if each.name == part]
        return found

    def value(self, path: str) -> str | None:
        found = self.find(path)
        return found[0].text.strip() if found else None


class Unreadable(Exception):
    """No well-formed XML, or more than an answer file needs."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


_DEEPEST, _MOST = 40, 20_000


def read(text: str) -> Node:
    """The root. A document type is refused: it could name files, and entities without end."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    root = Node("", 0, {})
    open_, count = [root], 0

    def refuse(*_: object) -> None:
        raise Unreadable(
            parser.CurrentLineNumber, "it has a document type (DOCTYPE), which nothing needs here"
        )

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(open_) > _DEEPEST or count > _MOST:
            raise Unreadable(parser.CurrentLineNumber, "it has more elements than any answer file")
        attributes = {_attribute(key): value for key, value in attributes.items()}
        node = Node(_local(name), parser.CurrentLineNumber, attributes)
        open_[-1].children.append(node)
        open_.append(node)

    def end(_: str) -> None:
        open_.pop()

    def characters(data: str) -> None:
        open_[-1].text += data

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = characters
    try:
        parser.Parse(text.encode("utf-8", "surrogatepass"), True)
    except expat.ExpatError as error:
        raise Unreadable(error.lineno, f"it is no XML: {expat.ErrorString(error.code)}") from None
    except (ValueError, LookupError) as error:  # an encoding that nobody knows
        raise Unreadable(1, f"it is no XML: {error}") from None
    return root.children[0]


def _local(name: str) -> str:
    namespace, _, local = name.rpartition(" ")
    return local if namespace == NAMESPACE else f"{{{namespace}}}{local}"


def _attribute(name: str) -> str:
    """Attributes have no namespace but for wcm:action and wcm:keyValue."""
    namespace, _, local = name.rpartition(" ")
    return f"wcm:{local}" if namespace == _WCM else local
