"""The small language that is spoken in chats: `reinstall web01 as debian-12-web`.

Small on purpose: no quotes, options or wildcards, so that what is confirmed is what was written,
and letters of ASCII alone, so that no name looks like another one (THREATS T096).
"""

from __future__ import annotations

import difflib
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from deployer.core.chat import fit
from deployer.core.text import check_host_name, check_name

LONGEST = 2000  # characters
_MOST_HOSTS = 20


class Verb(StrEnum):
    REINSTALL = "reinstall"
    STATUS = "status"
    WHY = "why"
    CANCEL = "cancel"
    RETRY = "retry"
    APPROVE = "approve"
    HOSTS = "hosts"
    PROFILES = "profiles"
    LINK = "link"
    UNLINK = "unlink"
    CONFIRM = "confirm"
    NO = "no"
    HELP = "help"


@dataclass(frozen=True)
class Usage:
    """How a verb is used, and whether it changes something."""

    form: str
    does: str
    acts: bool = False


USAGE: dict[Verb, Usage] = {
    Verb.REINSTALL: Usage("reinstall HOST... as PROFILE", "installs it anew, once confirmed", True),
    Verb.STATUS: Usage("status [HOST]", "where deployments stand"),
    Verb.WHY: Usage("why HOST", "what is likely wrong, and what to do"),
    Verb.CANCEL: Usage("cancel HOST", "ends its deployment", True),
    Verb.RETRY: Usage("retry HOST", "the same again, after it failed", True),
    Verb.APPROVE: Usage("approve HOST", "lets it go on where its workflow asks a person", True),
    Verb.HOSTS: Usage("hosts [KEY=VALUE...]", "those with these labels"),
    Verb.PROFILES: Usage("profiles", "what hosts can become"),
    Verb.LINK: Usage("link CODE", "tells me who you are; `deployer chat link` prints a code"),
    Verb.UNLINK: Usage("unlink", "forgets it again"),
    Verb.CONFIRM: Usage("confirm CODE", "where there is no button to press", True),
    Verb.NO: Usage("no CODE", "leaves it as it is"),
    Verb.HELP: Usage("help", "this list"),
}
_ALSO = {
    "install": Verb.REINSTALL, "deploy": Verb.REINSTALL, "provision": Verb.REINSTALL,
    "show": Verb.STATUS, "explain": Verb.WHY, "stop": Verb.CANCEL, "abort": Verb.CANCEL,
    "again": Verb.RETRY, "machines": Verb.HOSTS, "?": Verb.HELP, "hello": Verb.HELP,
    "hi": Verb.HELP,
}  # fmt: skip
_ONE_HOST = {Verb.WHY, Verb.CANCEL, Verb.RETRY, Verb.APPROVE}


@dataclass(frozen=True)
class Command:
    verb: Verb
    hosts: tuple[str, ...] = ()
    profile: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    code: str = ""


class Misunderstood(Exception):
    """`problem` for whoever typed it; `try_` is what they may have meant."""

    def __init__(self, problem: str, *try_: str) -> None:
        super().__init__(problem)
        self.problem, self.try_ = problem, try_


def parse(text: str) -> Command:
    """One command; Misunderstood says what is wrong with it. Hosts and profiles need not exist."""
    if len(text) > LONGEST:
        raise Misunderstood(f"That is {len(text)} characters; a command has at most {LONGEST}.")
    words = text.split()
    if not words:
        return Command(Verb.HELP)
    verb = _verb(words[0])
    return _ARGUMENTS[verb](verb, words[1:])


def nearest(word: str, known: list[str], most: int = 3) -> list[str]:
    """Those of `known` that `word` may be a slip of the keyboard for."""
    return difflib.get_close_matches(word.lower()[:100], known, n=most, cutoff=0.6)


def _verb(word: str) -> Verb:
    lower = word.lower()
    if lower in _ALSO:
        return _ALSO[lower]
    try:
        return Verb(lower)
    except ValueError:
        pass
    close = nearest(lower, [*Verb, *_ALSO])
    known = [_ALSO.get(each) or Verb(each) for each in close]
    forms = [USAGE[verb].form for verb in dict.fromkeys(known)]
    raise Misunderstood(f"I know no command “{fit(word, 40)}”.", *(forms or ["help"]))


def _nothing(verb: Verb, rest: list[str]) -> Command:
    if rest:
        raise _misused(verb)
    return Command(verb)


def _help(verb: Verb, rest: list[str]) -> Command:
    return Command(verb)


def _one_host(verb: Verb, rest: list[str]) -> Command:
    if len(rest) != 1:
        raise _misused(verb)
    return Command(verb, hosts=(_host(rest[0]),))


def _maybe_host(verb: Verb, rest: list[str]) -> Command:
    return _one_host(verb, rest) if rest else Command(verb)


def _reinstall(verb: Verb, rest: list[str]) -> Command:
    lower = [word.lower() for word in rest]
    between = next((lower.index(word) for word in ("as", "with", "to") if word in lower), 0)
    if between == 0 or between != len(rest) - 2:
        raise _misused(verb)
    named = [part for word in rest[:between] for part in word.split(",") if part]
    hosts = tuple(dict.fromkeys(_host(each) for each in named))
    if not 0 < len(hosts) <= _MOST_HOSTS:
        raise Misunderstood(
            f"Between 1 and {_MOST_HOSTS} hosts at once; more are for `deployer deploy`."
        )
    return Command(verb, hosts=hosts, profile=_name(rest[-1], "profile"))


def _labels(verb: Verb, rest: list[str]) -> Command:
    pairs = []
    for word in rest:
        key, equals, value = word.partition("=")
        if not equals or not key or not value:
            raise _misused(verb)
        pairs.append((_ascii(key), _ascii(value)))
    return Command(verb, labels=tuple(pairs))


def _code(verb: Verb, rest: list[str]) -> Command:
    if len(rest) != 1 or len(rest[0]) > 100:
        raise _misused(verb)
    return Command(verb, code=_ascii(rest[0]).lower())


_ARGUMENTS = {
    Verb.REINSTALL: _reinstall, Verb.STATUS: _maybe_host, Verb.HOSTS: _labels,
    Verb.PROFILES: _nothing, Verb.LINK: _code, Verb.UNLINK: _nothing, Verb.CONFIRM: _code,
    Verb.NO: _code, Verb.HELP: _help, **dict.fromkeys(_ONE_HOST, _one_host),
}  # fmt: skip


def _misused(verb: Verb) -> Misunderstood:
    return Misunderstood("I need it in this form:", USAGE[verb].form)


def _host(word: str) -> str:
    word = _ascii(word)
    if set(word) & set("*?[]{}"):
        raise Misunderstood("Write each host out; I take no wildcards.", "hosts env=staging")
    try:
        return check_host_name(word.lower())
    except ValueError as error:
        raise Misunderstood(f"“{fit(word, 60)}” is no host name: it {error}.") from None


def _name(word: str, what: str) -> str:
    try:
        return check_name(_ascii(word))
    except ValueError as error:
        raise Misunderstood(f"“{fit(word, 60)}” is no {what}: it {error}.") from None


def _ascii(word: str) -> str:
    for letter in word:
        if not letter.isascii() or not letter.isprintable():
            name = unicodedata.name(letter, f"U+{ord(letter):04X}")
            raise Misunderstood(f"“{fit(word, 60)}” has a letter that no name has: {name}.")
    if word.startswith("-") or set(word) & set("\"'`"):
        raise Misunderstood("There are no options and no quotes here.", "help")
    return word
