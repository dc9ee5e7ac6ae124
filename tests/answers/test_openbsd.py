"""OpenBSD: the lines of install.conf as the installer reads them, and its disklabel template."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployer.answers import prepare
from deployer.answers.families import INSTALLERS
from deployer.answers.installers.openbsd import asked, parse
from deployer.errors import Finding
from tests import golden
from tests.answers.strategies import PROFILES, hosts

FOUND = golden.found("openbsd")
HOST = {"name": "web01", "macs": ["52:54:00:12:34:56"]}
BCRYPT = "$2b$10$" + "abcdefghijklmnopqrstuv./" * 2 + "ABCDE"


def context(path: str | None = "/dev/sd0", base: str = "http://10.0.0.5:8081") -> dict[str, Any]:
    scripts = {"pre": None, "post": None, "first_boot": None}
    profile = {"scripts": scripts, "storage": {"disk": {"path": path}}}
    release = {"version": "7.8", "set": "site78.tgz"}
    return {"urls": {"base": base}, "profile": profile, "release": release}


def checked(
    text: str, path: str = "install.conf", values: dict[str, Any] | None = None
) -> list[Finding]:
    answer = next(file for file in FOUND.family.files() if file.path == path)
    return INSTALLERS["openbsd"].check(answer, text, values or context())


def ours(path: str = "install.conf") -> str:
    return golden.golden("openbsd", "dhcp")[path]


@pytest.mark.parametrize("path", ["install.conf", "disklabel", "index.txt"])
def test_our_own_has_no_finding(path: str) -> None:
    assert checked(ours(path), path) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("Setup a user = no", "Setup an user = no", "the installer asks no 'Setup an user'"),
        ("System hostname", "System hostnam", "did you mean 'System hostname'?"),
        ("System hostname = web01\n", "", "is not answered"),
        ("Password for root account = *************\n", "", "is not answered"),
        ("root account = *************", "root account = secret", "password in the clear"),
        ("root account = *************", f"root account = {golden.HASH}", "is no bcrypt hash"),
        ("Setup a user = no", "Setup a user", "is not QUESTION = ANSWER"),
        ("Setup a user = no", "Setup a user =", "is not QUESTION = ANSWER"),
        ("Setup a user = no", "Setup a user = no\nSetup a user = x", "in line 17 already"),
        ("sshd(8) by default = yes", "sshd(8) by default = maybe", "neither yes nor no"),
        ("root ssh login = no", "root ssh login = never", "is not yes, no or"),
        ("(k)eydisk = no", "(k)eydisk = p", "fetched without a token"),
        ("root disk = sd0", "root disk = sd1", "the root disk is 'sd1', and storage.disk.path"),
        ("Which disk is the root disk = sd0\n", "", "would erase the first one"),
    ],
)  # fmt: skip
def test_what_the_installer_would_trip_over_is_found(old: str, new: str, problem: str) -> None:
    assert old in ours()
    found = checked(ours().replace(old, new))
    assert any(problem in finding.message for finding in found), found


def test_a_finding_has_file_line_and_remedy() -> None:
    text = ours().replace("root ssh login = no", "root ssh login = never")
    (finding,) = checked(text)
    assert finding.file == "install.conf" and finding.remedy
    assert text.split("\n")[(finding.line or 0) - 1] == "Allow root ssh login = never"


@pytest.mark.parametrize(
    ("question", "known"),
    [
        ("System hostname", "System hostname? (short form, e.g. 'foo')"),
        ("system hostname?", "System hostname? (short form, e.g. 'foo')"),
        ("Password for user ops", "Password for user USER?"),
        ("Password for user", "Password for user USER?"),
        ("IPv4 address for em0", "IPv4 address for IF? (or 'autoconf' or 'none')"),
        ("Which disk", "Which disk is the root disk? ('?' for details)"),
        ("hostname", "System hostname? (short form, e.g. 'foo')"),
        ("Unverified sets: site78.tgz. Continue without verification",
         "Unverified sets: SET. Continue without verification?"),
        ("Password for rooty", None),
        ("ystem hostname", None),
        ("hostname System", None),
    ],
)  # fmt: skip
def test_a_line_answers_the_question_that_has_its_words_in_a_row(
    question: str, known: str | None
) -> None:
    assert asked(question) == known


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/ 1G-*\nswap 2G\n", None),
        ("/ *\n", None),
        ("# of ours\n/ 700M-* 100% # all\n/home 5G-* 50%\nswap 80M-256M 10%\n", None),
        ("raid *\n", None),
        ("/home 5G\n", "nothing is mounted at /"),
        ("/ 1G\nhome 5G\n", "'home' is no mount point"),
        ("/ big\n", "needs a size"),
        ("/\n", "needs a size"),
        ("/ 1G-2G-3G\n", "needs a size"),
        ("/ 1G 50\n", "is no percentage"),
        ("/ 1G\n/ 2G\n", "/ stands in line 1 already"),
    ],
)
def test_the_grammar_of_the_disklabel_template(text: str, problem: str | None) -> None:
    found = checked(text, "disklabel")
    assert found == [] if problem is None else any(problem in f.message for f in found), found


def test_a_list_of_sets_without_ours_is_found() -> None:
    assert ["not listed" in f.message for f in checked("base78.tgz\n", "index.txt")] == [True]


@pytest.mark.parametrize("path", [None, "/dev/disk/by-id/x", "/dev/sda", "sd0 sd1"])
def test_a_disk_that_has_no_name_there_is_refused(path: str | None) -> None:
    found = checked(ours(), values=context(path))
    assert [f.field for f in found] == ["storage.disk.path"]


@pytest.mark.parametrize("field", ["serial", "wwn", "model"])
def test_another_condition_on_the_disk_is_refused_by_name(field: str) -> None:
    profile = {"name": "web", "storage": {"disk": {field: "X1"}}}
    spec = golden.snapshot(FOUND, HOST, profile).profile
    refused = prepare.unsupported(FOUND.family, spec)
    assert [f.field for f in refused] == [f"storage.disk.{field}"]


def test_what_its_base_system_cannot_do_is_said() -> None:
    values = context(base="https://deployer.example.org")
    assert [f.field for f in checked(ours(), values=values)] == ["urls"]


def test_a_bcrypt_hash_is_taken_and_its_like_refused() -> None:
    users = [{"name": "ops", "password_hash": BCRYPT}]
    spec = golden.snapshot(FOUND, HOST, {"name": "web", "users": users}).profile
    assert prepare.unsupported(FOUND.family, spec) == []
    users[0]["password_hash"] = golden.HASH
    spec = golden.snapshot(FOUND, HOST, {"name": "web", "users": users}).profile
    assert [f.field for f in prepare.unsupported(FOUND.family, spec)] == ["users.ops.password_hash"]


# As people have it for machines of their own.
REAL = """\
# installed by the web server beside it
Change the default console to com0 = yes
Which speed should com0 use = 115200
System hostname = builder
Which disk = sd0
Password for root = *************
Allow root ssh login = no
Setup a user = ops
Password for user = *************
Public ssh key for user = ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5p1gk0wU4bJ7yqT8rXq3o9m0Yy0c2y6s7k
What timezone are you in = UTC
Location of sets = http
HTTP Server = 10.0.2.2
Unable to connect using https. Use http instead = yes
URL to autopartitioning template for disklabel = http://10.0.2.2/disklabel
Set name(s) = -game78.tgz -xbase78.tgz -xfont78.tgz site78.tgz
Checksum test for site78.tgz failed. Continue anyway = yes
Unverified sets: site78.tgz. Continue without verification = yes
Fetching of BUILDINFO failed. Continue anyway = yes
"""


def test_a_whole_file_of_an_operators_own_passes() -> None:
    profile = {"name": "own", "answer_files": {"install.conf": {"content": REAL}}}
    files, findings = golden.rendered(FOUND, golden.snapshot(FOUND, HOST, profile))
    assert files["install.conf"] == REAL and findings == []


def _fits(profile: dict[str, Any]) -> bool:
    hashes = [user.get("password_hash") for user in profile.get("users", [])]
    return "kernel_args" not in profile and not any(
        [*hashes, profile.get("root", {}).get("password_hash")]
    )


@settings(max_examples=25)  # each runs a shell
@given(hosts(), PROFILES.filter(_fits))
def test_whatever_is_described_comes_out_as_it_went_in(
    host: dict[str, Any], profile: dict[str, Any]
) -> None:
    snapshot = golden.snapshot(FOUND, host, profile)
    files, findings = golden.rendered(FOUND, snapshot)
    # Scripts are made up too, and most are none.
    assert [f for f in findings if not (f.field or "").startswith("scripts.")] == []
    lines, _ = parse(files["install.conf"], "install.conf")
    values = {line.question: line.answer for line in lines}
    assert values["System hostname"] == snapshot.host.name.split(".")[0]
    assert values["What timezone are you in"] == snapshot.profile.timezone
    told = as_told(files["site78.tgz/install.site"])
    for nic in snapshot.host.network.interfaces:
        (stanza,) = (told[n + 1] for n, t in enumerate(told) if t == f"/etc/hostname.{nic.mac}")
        assert all(a.split("/")[0] in stanza for a in nic.addresses)
    for user in snapshot.profile.users:
        assert user.shell.replace("/bin/bash", "/usr/local/bin/bash") in told
        if user.ssh_keys:
            assert "\n".join(user.ssh_keys) + "\n" in told


def as_told(script: str) -> list[str]:
    """What its shell hands to each command that would change the system."""
    begin, end = script.index("write 0644 /etc/myname"), script.index("# --- the first boot tells")
    names = ("write", "user", "keys", "rm")
    tells = "".join(f'{name}() {{ printf "%s\\0" "$@"; }}\n' for name in names)
    body = script[begin:end].replace(">> /etc/profile", "").replace(">> /etc/doas.conf", "")
    done = subprocess.run(["sh"], input=tells + body, capture_output=True, text=True, check=True)
    return done.stdout.split("\0")


@given(st.text(max_size=60) | st.text("=?# \tSystemhoUSER/1G-*%", max_size=60))
def test_no_text_breaks_the_check(text: str) -> None:
    for file in FOUND.family.files():
        INSTALLERS["openbsd"].check(file, text.replace("\0", ""), context())


@pytest.mark.parametrize("path", ["install.conf", "disklabel"])
@pytest.mark.parametrize("text", ["a b = c\n" * 30_000, "x " * 120_000 + "= 1", "1\n" * 120_000])
def test_a_large_file_that_is_something_else_has_few_findings(text: str, path: str) -> None:
    assert len(checked(text, path)) <= 200
