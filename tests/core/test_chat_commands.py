"""The language of chats: what is understood, what is not, and that nothing is taken for a name that
is none."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.core.chat_commands import USAGE, Command, Misunderstood, Verb, parse

PLAIN = {
    "reinstall web01 as debian-12-web": Command(
        Verb.REINSTALL, hosts=("web01",), profile="debian-12-web"
    ),
    "Reinstall  WEB01,web02 web03  AS  debian-12-web": Command(
        Verb.REINSTALL, hosts=("web01", "web02", "web03"), profile="debian-12-web"
    ),
    "deploy web01 web01 with debian": Command(
        Verb.REINSTALL, hosts=("web01",), profile="debian"
    ),
    "status": Command(Verb.STATUS),
    "status web01": Command(Verb.STATUS, hosts=("web01",)),
    "explain db.example.com": Command(Verb.WHY, hosts=("db.example.com",)),
    "cancel web01": Command(Verb.CANCEL, hosts=("web01",)),
    "retry web01": Command(Verb.RETRY, hosts=("web01",)),
    "hosts env=staging rack=a1": Command(
        Verb.HOSTS, labels=(("env", "staging"), ("rack", "a1"))
    ),
    "profiles": Command(Verb.PROFILES),
    "link AbCd-23": Command(Verb.LINK, code="abcd-23"),
    "": Command(Verb.HELP),
    "help me": Command(Verb.HELP),
}  # fmt: skip


@pytest.mark.parametrize(("text", "command"), PLAIN.items())
def test_it_is_understood(text: str, command: Command) -> None:
    assert parse(text) == command


@pytest.mark.parametrize(
    ("text", "said", "try_"),
    [
        ("reinstal web01 as x", "no command “reinstal”", "reinstall HOST... as PROFILE"),
        ("stauts", "no command “stauts”", "status [HOST]"),
        ("frobnicate", "no command", "help"),
        ("reinstall web01", "in this form", "reinstall HOST... as PROFILE"),
        ("reinstall as debian", "in this form", "reinstall HOST... as PROFILE"),
        ("reinstall web01 as debian now", "in this form", "reinstall HOST... as PROFILE"),
        ("cancel", "in this form", "cancel HOST"),
        ("hosts staging", "in this form", "hosts [KEY=VALUE...]"),
        ("profiles all", "in this form", "profiles"),
        ("link", "in this form", USAGE[Verb.LINK].form),
    ],
)
def test_what_is_not_is_answered_with_what_may_be_meant(text: str, said: str, try_: str) -> None:
    with pytest.raises(Misunderstood) as refused:
        parse(text)
    assert said in refused.value.problem and try_ in refused.value.try_


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("reinstall * as debian", "no wildcards"),
        ("reinstall web0? as debian", "no wildcards"),
        ("reinstall web[01] as debian", "no wildcards"),
        ("reinstall --all as debian", "no options"),
        ('reinstall "web01" as debian', "no quotes"),
        ("cancel 'web01'", "no quotes"),
        ("cancel `reboot`", "no quotes"),
        ("cancel wеb01", "CYRILLIC SMALL LETTER IE"),
        ("cancel web01\u200b", "ZERO WIDTH SPACE"),
        ("cancel web\u202e01", "RIGHT-TO-LEFT OVERRIDE"),
        ("cancel web01;reboot", "no host name"),
        ("cancel $(reboot)", "no host name"),
        ("cancel 10.0.0.1", "not be a number or an address"),
        ("reinstall web01 as ../etc", "no profile"),
        ("reinstall " + " ".join(f"web{n}" for n in range(21)) + " as debian", "1 and 20 hosts"),
        ("status " + "a" * 40_000, "40007 characters"),
    ],
)
def test_t096_no_trick_passes_for_a_name(text: str, said: str) -> None:
    with pytest.raises(Misunderstood, match=r"(?s).*") as refused:
        parse(text)
    assert said in refused.value.problem
    assert len(refused.value.problem) < 400, "it is shown in a chat"


NAMES = set(string.ascii_lowercase + string.digits + "-.")


@given(st.text(max_size=300).map(lambda text: "reinstall " + text))
def test_t096_whatever_is_typed_hosts_are_host_names(text: str) -> None:
    try:
        command = parse(text)
    except Misunderstood:
        return
    assert command.hosts and all(set(name) <= NAMES for name in command.hosts)
    assert command.profile.isascii() and not set(command.profile) & set(" *?/\\'\"`$")


def test_every_verb_can_be_used_as_its_help_says() -> None:
    samples = {"HOST...": "web01", "[HOST]": "", "HOST": "web01", "PROFILE": "debian",
               "[KEY=VALUE...]": "", "CODE": "abc"}  # fmt: skip
    for verb, usage in USAGE.items():
        text = " ".join(samples.get(word, word) for word in usage.form.split())
        assert parse(text).verb is verb
