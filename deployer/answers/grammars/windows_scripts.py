"""Lints for the scripts that Windows runs: batch files, JScript (ECMAScript 3), PowerShell, and
winpeshl.ini.

No parser of them may be shipped, so these see what breaks a file most: brackets and quotes, labels,
characters that arrive as others, and syntax that the old engines do not have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

# (line or None, what is wrong)
Problem = tuple[int | None, str]

_CLOSES = {")": "(", "]": "[", "}": "{"}


def winpeshl(text: str) -> Iterator[Problem]:
    """Microsoft, "Winpeshl.ini reference": without [LaunchApps] or [LaunchApp], Setup starts."""
    yield from _ascii(text)
    section, launched = "", 0
    for number, line in enumerate(text.split("\n"), start=1):
        word = line.strip()
        if word.startswith("[") or not word or word.startswith(";"):
            section = word.lower() if word.startswith("[") else section
        elif section in ("[launchapps]", "[launchapp]"):
            launched += 1
        else:
            yield number, f"{word!r} stands in no section that Windows PE reads"
    if not launched:
        yield None, "nothing stands under [LaunchApps], so Windows PE starts Setup, which asks"


# --- batch ------------------------------------------------------------------------------------

# Labels that cmd.exe has of its own.
_OWN_LABELS = {"eof"}


def batch(text: str) -> Iterator[Problem]:
    """cmd.exe goes on after most errors, so a line it cannot read is skipped in silence."""
    yield from _ascii(text)
    labels: dict[str, int] = {}
    jumps: list[tuple[int, str]] = []
    depth, opened = 0, 0
    for number, line in enumerate(text.split("\n"), start=1):
        word = line.strip()
        if not word or word.startswith("::") or re.match(r"@?rem(\s|$)", word, re.I):
            continue
        if label := re.match(r":([^\s:+&|]+)", word):
            if label[1].lower() in labels:
                yield (
                    number,
                    f"the label :{label[1]} stands in line {labels[label[1].lower()]} already",
                )
            labels[label[1].lower()] = number
            continue
        bare = _outside_quotes(line)
        if bare is None:
            yield number, "a quote is not closed in this line"
            continue
        jumps += [(number, name) for name in _jumps(bare)]
        if re.search(r"(^|[\s&|(])pause(\s|$|&)", bare, re.I):
            yield number, "`pause` waits for a key, and nobody is there"
        if len(line) > 8191:
            yield number, "the line is longer than the 8191 characters that cmd.exe reads"
        depth, opened = _depth(bare, depth, opened, number)
    if depth:
        yield opened, "a parenthesis that is opened here is never closed"
    for number, name in jumps:
        if name.lower() not in labels and name.lower() not in _OWN_LABELS:
            yield number, f"there is no label :{name}, where cmd.exe ends the script"


def _outside_quotes(line: str) -> str | None:
    """`line` without what is quoted, which begins and ends at a plain quote; None when one is open.

    `\\"` is a quote to the program alone; cmd.exe counts it like any other, and so do we.
    """
    parts = re.sub(r"\^.", "", line).split('"')
    return "".join(parts[::2]) if len(parts) % 2 else None


def _jumps(bare: str) -> list[str]:
    found = re.findall(r"(?:^|[\s&|(@])goto[\s:]+([^\s&|)]+)", bare, re.I)
    found += re.findall(r"(?:^|[\s&|(@])call\s+:([^\s&|)]+)", bare, re.I)
    return [name for name in found if "%" not in name and "!" not in name]


def _depth(bare: str, depth: int, opened: int, number: int) -> tuple[int, int]:
    """Blocks that are open after this line. A `)` without a block is text, as in `echo :)`."""
    for character in bare:
        if character == "(":
            depth, opened = depth + 1, opened if depth else number
        elif character == ")" and depth:
            depth -= 1
    return depth, opened


# --- JScript and PowerShell -------------------------------------------------------------------


class _Open(Exception):
    """Something that begins at this line never ends."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


def jscript(text: str) -> Iterator[Problem]:
    """cscript.exe //E:JScript reads the whole file before it runs anything of it."""
    yield from _ascii(text)
    try:
        code = _blanked(text, _JSCRIPT)
    except _Open as problem:
        yield problem.line, f"{problem} begins here and does not end"
        return
    yield from _brackets(code)
    for number, line in enumerate(code.split("\n"), start=1):
        for pattern, what in _NOT_ES3:
            if pattern.search(line):
                yield number, f"{what}, which JScript does not have"


_NOT_ES3 = (
    (re.compile(r"\b(let|const|class|async|await|import)\s+[A-Za-z_${*]"), "a later word"),
    (re.compile(r"=>"), "an arrow function"),
    (re.compile(r"`"), "a template text"),
    (re.compile(r"\bJSON\s*\."), "JSON"),
    (re.compile(r"\bconsole\s*\."), "console"),
    (re.compile(r",\s*[\]}]"), "a comma before a closing bracket"),
    (re.compile(r"\b(Object\.(keys|assign)|Array\.(isArray|from))\b"), "a later function"),
    (
        re.compile(r"\.(trim|forEach|map|filter|reduce|some|every|bind|find|includes|repeat"
                   r"|startsWith|endsWith|padStart|padEnd)\s*\("),
        "a later method",
    ),
)  # fmt: skip


def powershell(text: str) -> Iterator[Problem]:
    """PowerShell 5.1 reads the whole file before it runs anything of it."""
    yield from _ascii(text)
    try:
        code = _blanked(text, _POWERSHELL)
    except _Open as problem:
        yield problem.line, f"{problem} begins here and does not end"
        return
    yield from _brackets(code)
    for number, line in enumerate(code.split("\n"), start=1):
        if re.search(r"(?<![$\w-])(Read-Host|Pause)\b", line, re.I):
            yield number, "it waits for a person, and nobody is there"


# How each text or comment begins, how it goes on to its end, and what it is called. The first that
# fits counts. Each end is matched from where it begins, so the time is linear.
_Rule = tuple[re.Pattern[str], re.Pattern[str], str]
_LINE_END = re.compile(r"[^\n]*")
_JSCRIPT: tuple[_Rule, ...] = (
    (re.compile(r"//"), _LINE_END, "a comment"),
    (re.compile(r"/\*"), re.compile(r".*?\*/", re.S), "a comment"),
    (re.compile(r'"'), re.compile(r'(?:[^"\\\n]|\\.)*"', re.S), "a text"),
    (re.compile(r"'"), re.compile(r"(?:[^'\\\n]|\\.)*'", re.S), "a text"),
    # A pattern follows what no division could follow.
    (
        re.compile(r"(?:(?<=[(,=:!&|?+{};\[])|(?<=return))[ \t]*/(?![/*])"),
        re.compile(r"(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])*/"),
        "a pattern",
    ),
)
_POWERSHELL: tuple[_Rule, ...] = (
    (re.compile(r"<#"), re.compile(r".*?#>", re.S), "a comment"),
    (re.compile(r"(?<![\w`])#"), _LINE_END, "a comment"),
    # A here-string ends at the begin of a line, and its first line may be that one.
    (re.compile(r"@'[ \t]*(?=\n)"), re.compile(r".*?\n'@", re.S), "a here-string"),
    (re.compile(r'@"[ \t]*(?=\n)'), re.compile(r'.*?\n"@', re.S), "a here-string"),
    (re.compile(r"'"), re.compile(r"(?:[^']|'')*'"), "a text"),
    (re.compile(r'"'), re.compile(r'(?:[^"`]|`.|"")*"', re.S), "a text"),
    (re.compile(r"`"), re.compile(r".?", re.S), "an escape"),
)


def _blanked(text: str, rules: tuple[_Rule, ...]) -> str:
    """`text` with texts as `_` and comments blank, line by line; _Open when one does not end."""
    begins = re.compile("|".join(f"({rule[0].pattern})" for rule in rules))
    out, place = [], 0
    while match := begins.search(text, place):
        _, goes_on, what = rules[(match.lastindex or 1) - 1]
        end = goes_on.match(text, match.end())
        if end is None:
            raise _Open(text.count("\n", 0, match.start()) + 1, what)
        out.append(text[place : match.start()])
        filler = " " if what == "a comment" else "_"
        out.append(re.sub(r"[^\n]", filler, text[match.start() : end.end()]))
        place = end.end()
    return "".join([*out, text[place:]])


def _brackets(code: str) -> Iterator[Problem]:
    open_: list[tuple[str, int]] = []
    line = 1
    for character in code:
        if character == "\n":
            line += 1
        elif character in "([{":
            open_.append((character, line))
        elif character in _CLOSES:
            if not open_ or open_[-1][0] != _CLOSES[character]:
                before = f", and {open_[-1][0]!r} of line {open_[-1][1]} is open" if open_ else ""
                yield line, f"{character!r} closes nothing that is open here{before}"
                return
            open_.pop()
    for character, number in open_[-1:]:
        yield number, f"{character!r} that is opened here is never closed"


def _ascii(text: str) -> Iterator[Problem]:
    for number, line in enumerate(text.split("\n"), start=1):
        strange = next((c for c in line if not (" " <= c <= "~" or c == "\t")), None)
        if strange is not None:
            yield (
                number,
                (f"{strange!r} is no printable ASCII; Windows would read it in another code page"),
            )
            return


LINTS: dict[str, Callable[[str], Iterator[Problem]]] = {
    ".cmd": batch, ".js": jscript, ".ps1": powershell, ".ini": winpeshl,
}  # fmt: skip
