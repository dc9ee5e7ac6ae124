"""A kickstart file as its installer reads it: commands, sections, and pykickstart's judgement.

Nothing that a file names is opened or fetched: its includes are looked at by nobody here.
"""

from __future__ import annotations

import re
import shlex
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from deployer.errors import Finding

SCRIPTS = frozenset({"%pre", "%pre-install", "%post", "%onerror", "%traceback"})
_SECTIONS = SCRIPTS | {"%packages", "%addon", "%anaconda", "%certificate"}
_REMEDY = "correct the value in the profile or the host, or the template that writes this line"
# What pykickstart warns of and the installer does not mind: a biosboot on each disk of a mirror, or
# a VLAN on a bond, is a second line for one name; and what has no effect any more, but asked for
# nothing either.
_HARMLESS = re.compile(
    r"mountpoint biosboot has already been defined"
    r"|network device with the name \S+ has already been defined"
    r"|will be deprecated in future releases"
    r"|The (install|deviceprobe|device|dmraid) command has been deprecated"
    r"|The (--nobase|--isUtc) option has been deprecated"
    r"|does not end with %end"  # ours says where it begins
)
# In %packages there is nothing to judge in a name, and pykickstart sorts all of them for each one.
_PACKAGE = re.compile(r"\s*-?[A-Za-z0-9][A-Za-z0-9.+:*?_-]*\s*", re.ASCII)
# Far more than people write; beyond, judging a file would take the service's time for its own.
MOST_COMMANDS, MOST_SECTIONS = 500, 50
_PLACE = re.compile(r"\bline (\d+)\b")
# pykickstart keeps the version in class attributes, and says what it warns of through `warnings`.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Command:
    """One line outside of sections, split as a shell would."""

    line: int
    args: list[str]

    @property
    def name(self) -> str:
        return self.args[0]

    def value(self, option: str) -> str | None:
        """Of `--option=value` or `--option value`; the last one wins."""
        found = None
        for arg, following in zip(self.args, [*self.args[1:], ""], strict=True):
            if arg.startswith(option + "="):
                found = arg.partition("=")[2]
            elif arg == option:
                found = following
        return found

    def has(self, option: str) -> bool:
        return any(arg == option or arg.startswith(option + "=") for arg in self.args)

    @property
    def operands(self) -> list[str]:
        """What is no option; the value of `--option value` counts as one."""
        return [arg for arg in self.args[1:] if not arg.startswith("--")]


@dataclass
class Section:
    """From its header in `line` to %end."""

    line: int
    args: list[str]
    body: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.args[0]

    @property
    def header(self) -> Command:
        return Command(self.line, self.args)


@dataclass
class Kickstart:
    """A file taken apart; what could not be read is in `findings`."""

    file: str
    commands: list[Command] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    # The text without the lines that cannot be split: pykickstart would stop at the first one.
    readable: str = ""

    def named(self, *names: str) -> list[Command]:
        return [command for command in self.commands if command.name in names]

    def scripts(self, *names: str) -> list[Section]:
        return [section for section in self.sections if section.name in names]

    def finding(self, line: int | None, problem: str, remedy: str = _REMEDY) -> Finding:
        where = f"{self.file}, line {line}" if line else self.file
        return Finding(f"{where}: {problem}", remedy, file=self.file, line=line)


def read(text: str, file: str) -> Kickstart:
    """`text` taken apart the way pykickstart's parser does."""
    found = Kickstart(file)
    lines = text.splitlines()
    section: Section | None = None
    for number, line in enumerate(lines, start=1):
        tag = line.split()[0] if line.lstrip().startswith("%") else ""
        if section is not None and tag not in _SECTIONS | {"%end"}:
            section.body.append(line)
            if section.name == "%packages" and _PACKAGE.fullmatch(line):
                lines[number - 1] = ""
            continue
        if section is not None and tag != "%end":
            found.findings.append(_unended(found, section))
        if section is not None and tag == "%end":
            section = None
        elif line.strip() and not line.lstrip().startswith("#"):
            section = _begun(found, _split(found, lines, number), number)
    if section is not None:
        found.findings.append(_unended(found, section))
    found.readable = "".join(f"{line}\n" for line in lines)
    _bounded(found)
    return found


def _bounded(found: Kickstart) -> None:
    """What is beyond the bounds is refused, and not looked at."""
    bounds: list[tuple[str, list[Any], int]] = [
        ("commands", found.commands, MOST_COMMANDS),
        ("sections", found.sections, MOST_SECTIONS),
    ]
    for what, all_of_them, most in bounds:
        if len(all_of_them) > most:
            problem = f"{len(all_of_them)} {what} are more than the {most} that are checked"
            found.findings.append(found.finding(None, problem, "have a script of it do the rest"))
            del all_of_them[most:]
            found.readable = ""


def _begun(found: Kickstart, args: list[str], number: int) -> Section | None:
    """The section that this line begins; or it is a command."""
    if args and args[0] in _SECTIONS:
        found.sections.append(Section(number, args))
        return found.sections[-1]
    if args:
        found.commands.append(Command(number, args))
    return None


def _unended(found: Kickstart, section: Section) -> Finding:
    problem = f"{section.name} does not end with %end before the next section, or the file's end"
    return found.finding(section.line, problem, "add %end after its last line")


def _split(found: Kickstart, lines: list[str], number: int) -> list[str]:
    """The words of a line; none, and a finding, when it cannot be split."""
    line = lines[number - 1]
    try:
        args = shlex.split(line, comments=True)
        if args and not args[0]:
            raise ValueError("a line cannot begin with an empty word")
    except ValueError as error:
        lines[number - 1] = ""
        found.findings.append(found.finding(number, f"{error}: {line.strip()[:80]!r}"))
        return []
    return args


# --- pykickstart ------------------------------------------------------------------------------


def judge(found: Kickstart, version: str) -> Iterator[Finding]:
    """What pykickstart says in the grammar of `version`, such as RHEL9; errors and warnings."""
    if not found.readable:
        return
    with _one_at_a_time, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        said = _parsed(found.readable, version, warned)
    for line, message in said:
        problem, at = _tidy(message)
        if not _HARMLESS.search(problem):
            yield found.finding(line or at, problem)


def _parsed(text: str, version: str, warned: list[Any]) -> list[tuple[int | None, str]]:
    # Here, because it is licensed under the GPL: nothing of ours needs it but this check.
    from pykickstart.version import makeVersion

    parser = _parser()(makeVersion(version), warned)
    problems: list[tuple[int | None, str]] = parser.problems
    try:
        parser.readKickstartFromString(text)
    except Exception as error:  # its parser was not written for what people may send us
        problems.append((None, str(error) or type(error).__name__))
    return problems


@cache
def _parser() -> Any:
    from pykickstart.errors import KickstartWarning
    from pykickstart.parser import KickstartParser

    class Parser(KickstartParser):  # type: ignore[misc]  # it comes without types
        """Goes on after a mistake, keeps what it finds with its line, and opens no other file."""

        def __init__(self, handler: Any, warned: list[Any]) -> None:
            super().__init__(handler, followIncludes=False, errorsAreFatal=False)
            self.problems: list[tuple[int | None, str]] = []
            self.warned = warned
            self.at: int | None = None

        def handleCommand(self, lineno: int, args: list[str]) -> Any:
            self.at = lineno
            return super().handleCommand(lineno, args)

        def _tryFunc(self, fn: Any) -> None:
            """Handles one command, or the header of a section; `at` is the line of a command."""
            self.at = None
            del self.warned[:]
            try:
                fn()
            except Exception as error:
                self.problems.append((self.at, str(error) or type(error).__name__))
            self.problems += [
                (self.at, str(warning.message))
                for warning in self.warned
                if issubclass(warning.category, KickstartWarning)
            ]

    return Parser


def _tidy(message: str) -> tuple[str, int | None]:
    """Its words on one line without the place, and the place."""
    place = _PLACE.search(message)
    text = re.sub(r"^The following problem occurred on line \d+[^:]*:\s*", "", message)
    return " ".join(text.split())[:400], int(place[1]) if place else None
