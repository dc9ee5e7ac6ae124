"""What grammars of unattend.xml are made of: rules for values, groups and lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from deployer.answers.grammars.windows_xml import Node

# (line or None, what is wrong)
Problem = tuple[int | None, str]
# What is wrong with an element, if anything; it gets the element and the names on the way to it.
Rule = Callable[[Node, str], Iterator[Problem]]


def leaf(fits: Callable[[str], bool], words: str) -> Rule:
    def rule(node: Node, path: str) -> Iterator[Problem]:
        if node.children:
            yield node.line, f"{path} has elements in it, and must be {words}"
        elif not fits(node.text.strip()):
            shown = node.text.strip()[:60]
            yield node.line, f"{path} must be {words}, not {shown!r}"

    return rule


def matching(pattern: str, words: str) -> Rule:
    compiled = re.compile(pattern, re.ASCII)
    return leaf(lambda text: compiled.fullmatch(text) is not None, words)


def one_of(*words: str) -> Rule:
    return leaf(lambda text: text in words, " or ".join(words))


def number(least: int, most: int) -> Rule:
    return leaf(
        lambda text: re.fullmatch(r"[0-9]{1,10}", text) is not None and least <= int(text) <= most,
        f"a number from {least} to {most}",
    )


def text(most: int = 4096, least: int = 0) -> Rule:
    return leaf(lambda text: least <= len(text) <= most, f"{least} to {most} characters")


def group(fields: dict[str, Rule], required: tuple[str, ...] = ()) -> Rule:
    """Elements by name, each once but for those of a list (`Many`)."""

    def rule(node: Node, path: str) -> Iterator[Problem]:
        if node.text.strip():
            yield node.line, f"{path} has text between its elements: {node.text.strip()[:40]!r}"
        seen: dict[str, int] = {}
        for each in node.children:
            yield from _known(each, path, fields, seen)
        for name in required:
            if name not in seen:
                yield node.line, f"{path} lacks {name}"

    return rule


def _known(
    each: Node, path: str, fields: dict[str, Rule], seen: dict[str, int]
) -> Iterator[Problem]:
    here = f"{path}/{each.name}"
    found = fields.get(each.name)
    if found is None:
        yield each.line, f"{here}: Windows has no such setting here"
        return
    is_list = isinstance(found, Many)
    if each.name in seen and not is_list:
        yield each.line, f"{here} stands in line {seen[each.name]} already"
    seen[each.name] = each.line
    if is_list and each.attributes.get("wcm:action") != "add":
        yield each.line, f'{here} is an item of a list and needs wcm:action="add"'
    yield from found(each, here)


@dataclass(frozen=True)
class Many:
    """An item of a list."""

    rule: Rule

    def __call__(self, node: Node, path: str) -> Iterator[Problem]:
        yield from self.rule(node, path)


def list_of(item: str, rule: Rule, *, key: str | None = None) -> Rule:
    """A list of `item`; `key` is an element that differs in each, from 1 on where it is Order."""
    whole = group({item: Many(rule)})

    def check(node: Node, path: str) -> Iterator[Problem]:
        yield from whole(node, path)
        seen: dict[str, int] = {}
        for each in node.find(f"{item}/{key}") if key else []:
            word = each.text.strip()
            if word in seen:
                yield each.line, f"{path}/{item}/{key} {word} stands in line {seen[word]} already"
            seen[word] = each.line
        if key == "Order" and seen and "1" not in seen:
            yield node.line, f"{path}: the first Order must be 1"

    return check
