"""Text stays text: no line, no word, no key, no command. THREATS T016-T018, T031, T070."""

from __future__ import annotations

import base64
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from deployer.answers import prepare
from deployer.answers.context import Machine
from deployer.answers.render import environment
from deployer.boot import grub, ipxe
from deployer.core.hosts import canonical_mac
from deployer.core.text import is_plain_line
from deployer.errors import Invalid
from deployer.services.rendering import refuse_findings
from deployer.web import loaders
from tests import golden
from tests.support.service import KEY, MAC, Service, ok

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
Json = dict[str, Any]
FAMILY = golden.found("image")
HOST: Json = {"name": "web01", "macs": [MAC]}
PROFILE: Json = {"name": "web"}

# What people have used to break out of a line, a word, a string or a document.
ATTACKS = [
    "\n", "\r", "\r\nboot", "\x00", "\x1b[2J", "\t", "\u2028", "\u2029", "\x85", "\x0b", "\x0c",
    "\u202e", "\ufeff", "\ud800", "; reboot", "&& reboot", "|| reboot", "| sh", "`reboot`",
    "$(reboot)", "${net0/mac}", "$IFS$1init=/bin/sh", "#!ipxe", "# x", "'", '"', "\\", "' 'x",
    '" --foo "', "init=/bin/sh", "a init=/bin/sh", "%0a", "${IFS}", "\n#!ipxe\nshell",
    '"\n    late-commands: [reboot]', "</plan><!DOCTYPE x>", "]]>", "%post", "%include /x", "%end",
    "\nd-i preseed/late_command string reboot", "EOF\nreboot\n", "*x", "&x x", "!!python/object:x",
    "{{ 7 * 7 }}", "{% raw %}", "fe80::1%x\n[Match]", "\n[Service]\nExecStart=/bin/sh",
]  # fmt: skip
HOSTILE = st.one_of(
    st.sampled_from(ATTACKS),
    st.builds("{}{}{}".format, st.text("ab1.-", max_size=3), st.sampled_from(ATTACKS),
              st.text("ab1.-", max_size=3)),
    st.text(max_size=12),
)  # fmt: skip


def unique(pairs: list[tuple[str, Any]]) -> Json:
    assert len(dict(pairs)) == len(pairs), "a key was written twice"
    return dict(pairs)


def context_of(host: Json, profile: Json, machine: Machine | None = None) -> Json:
    """What is rendered from; Invalid or ValidationError when the description is refused."""
    snapshot = golden.snapshot(FAMILY, host, profile)
    refuse_findings(prepare.unsupported(FAMILY.family, snapshot.profile))
    context = golden.context_of(snapshot)
    if machine is not None:
        context["machine"] |= {"serial": machine.serial, "uuid": machine.uuid}
    return context


def scripts(host: Json, profile: Json, machine: Machine | None = None) -> tuple[str, str]:
    """(iPXE, GRUB)"""
    boot = prepare.boot(FAMILY, context_of(host, profile, machine))
    return ipxe.script(boot), grub.script(boot)


def plan(host: Json, profile: Json) -> Json:
    context = context_of(host, profile)
    files = prepare.answers(FAMILY, context)
    refuse_findings(prepare.findings(FAMILY, context, files))
    parsed: Json = json.loads(files["plan.json"], object_pairs_hook=unique)
    return parsed


@contextmanager
def unless_refused() -> Iterator[None]:
    """What is refused is no example."""
    try:
        yield
    except (Invalid, ValidationError):
        assume(False)


# --- boot scripts -----------------------------------------------------------------------------


def shape(script: str) -> list[list[str]]:
    """Of each line: the first word of every command in it, and where a comment begins."""
    lines = [re.split(r" (\|\||&&|#)(?= |$)", line.strip()) for line in script.split("\n")]
    return [[part.strip().split(" ")[0] for part in line] for line in lines]


PLAIN_SCRIPTS = scripts(HOST, PROFILE)


def with_text(field: str, text: str) -> tuple[Json, Json, Machine | None]:
    """A host, a profile and a machine, with `text` in one of all the places that take any."""
    places: dict[str, tuple[Json, Json, Machine | None]] = {
        "host.name": ({**HOST, "name": text}, PROFILE, None),
        "host.serial": ({**HOST, "serial": text}, PROFILE, None),
        "host.uuid": ({**HOST, "uuid": text}, PROFILE, None),
        "profile.name": (HOST, {"name": text}, None),
        "kernel_args": (HOST, {**PROFILE, "kernel_args": [text]}, None),
        "kernel argument's value": (HOST, {**PROFILE, "kernel_args": [f"console={text}"]}, None),
        "machine's serial": (HOST, PROFILE, Machine(MAC, None, loaders._fact(text))),
        "machine's uuid": (HOST, PROFILE, Machine(MAC, loaders._uuid(text), None)),
    }  # fmt: skip
    return places[field]


BOOT_FIELDS = ["host.name", "host.serial", "host.uuid", "profile.name", "kernel_args",
               "kernel argument's value", "machine's serial", "machine's uuid"]  # fmt: skip


@pytest.mark.slow
@given(st.sampled_from(BOOT_FIELDS), HOSTILE)
@example("kernel argument's value", "tty0 || reboot")
@example("machine's serial", "SN\u00a01")
@example("kernel_args", "quiet # rest")
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_t016_no_accepted_text_adds_a_line_or_a_command_to_a_boot_script(
    field: str, text: str
) -> None:
    with unless_refused():
        script, config = scripts(*with_text(field, text))
    plain_script, plain_config = PLAIN_SCRIPTS
    assert shape(script) == shape(plain_script)
    assert shape(config) == shape(plain_config)
    assert script.count("${") == plain_script.count("${")
    assert is_plain_line((script + config).replace("\n", ""))


@on_sqlite
def test_t016_a_hostile_name_is_refused_with_a_clear_message(service: Service) -> None:
    service.knows()
    for attack in ATTACKS:
        name = f"web{attack}"
        host = {"name": name, "macs": ["02:00:00:00:00:01"]}
        # Written by hand, as httpx would refuse half a surrogate pair before we could.
        answer = service.api.post("/api/v1/hosts", content=json.dumps(host), headers=AS_JSON)
        assert answer.status_code == 422, ascii(attack)
        assert "must be a host name" in answer.text or "not acceptable JSON" in answer.text


AS_JSON = {"Content-Type": "application/json"}


# --- kernel arguments -------------------------------------------------------------------------

TAKES_OVER = [
    "init=/bin/sh", "rdinit=/bin/sh", "rd.break", "break", "inst.ks=http://evil/ks",
    "inst.repo=http://evil", "ks=http://evil", "ds=nocloud;s=http://evil/", "url=http://evil/iso",
    "ip=dhcp", "autoinstall", "auto=true", "preseed/url=http://evil", "deployer.plan=http://evil",
    "deployer.mac=02:00:00:00:00:01", "BOOTIF=01-02-00-00-00-00-01", "initrd=evil", "root=/dev/a",
    "systemd.debug-shell", "systemd.run=reboot", "single", "emergency", "S", "1", "---", "--",
    "module_blacklist=x", "nokaslr", "selinux=0", "apparmor=0", "lockdown=none", "CONSOLE=x",
    "console.x=1", "net.ifnames.x=0", "quiet init=/bin/sh", "console=tty0 init=/bin/sh",
    'console="tty0 init=/bin/sh"', "console='a'", "console=a\\ b", "console=$IFS$1init=/bin/sh",
    "console=`x`", "console=a\nb", "=x", "", "panic=${x}",
]  # fmt: skip


@pytest.mark.parametrize("argument", TAKES_OVER)
def test_t017_an_argument_that_could_take_over_the_boot_is_refused(argument: str) -> None:
    with pytest.raises((Invalid, ValidationError)):
        context_of(HOST, {**PROFILE, "kernel_args": ["quiet", argument]})


@on_sqlite
def test_t017_the_refusal_names_the_argument_and_what_is_allowed(service: Service) -> None:
    body = {"name": "p", "os": "image", "release": "debian-12", "kernel_args": ["init=/bin/sh"]}
    answer = service.api.post("/api/v1/profiles", json=body)
    assert answer.status_code == 422
    (finding,) = answer.json()["findings"]
    assert (finding["field"], finding["value"]) == ("kernel_args", "init")
    assert "allowed are: console, quiet" in finding["remedy"]


VALUES = st.text("ab0/.,:=-+@%~;&|<>(){}[]*?!#^$'\"\\` ", max_size=8) | HOSTILE
ARGUMENTS = st.lists(
    st.builds("{}={}".format, st.sampled_from(FAMILY.family.kernel_args), VALUES), max_size=4
)


@pytest.mark.slow
@given(ARGUMENTS)
@example(["console=tty0$IFS$1init=/bin/sh"])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_t017_what_is_accepted_arrives_word_for_word(arguments: list[str]) -> None:
    profile = {**PROFILE, "kernel_args": arguments}
    with unless_refused():
        script, config = scripts(HOST, profile)
    (kernel,) = [line for line in script.split("\n") if line.startswith("kernel ")]
    words = kernel.removesuffix(" || goto failed").split(" ")
    assert words[len(words) - len(arguments) :] == arguments
    (linux,) = [line for line in config.split("\n") if line.startswith("  if linux ")]
    words = shlex.split(linux.removesuffix("; then"))
    assert words[len(words) - len(arguments) :] == arguments
    assert installed_with(plan(HOST, profile)["system"]["kernel_args"]) == (
        arguments or ["console=tty0", "console=ttyS0,115200n8"]
    )


def installed_with(line: str) -> list[str]:
    """The words of /etc/default/grub after a shell has read it, as update-grub does."""
    script = f'GRUB_CMDLINE_LINUX="{line}"\nprintf %s "$GRUB_CMDLINE_LINUX"\n'
    done = subprocess.run(["sh"], input=script.encode(), capture_output=True, check=True)
    return done.stdout.decode().split()


# --- answer files -----------------------------------------------------------------------------


def keys(value: Any, at: str = "") -> Iterator[str]:
    """Every key of a document, with its place; entries of a list are alike."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{at}.{key}"
            yield from keys(inner, f"{at}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner, f"{at}[]")


def unit_keys(text: str) -> list[str]:
    """Sections and keys of a systemd file, in order; values left out."""
    return [line.split("=")[0] for line in text.split("\n") if line and not line.startswith("#")]


def described_with(text: str, field: str) -> tuple[Json, Json]:
    """A full description with `text` in one field that takes text, and plain words elsewhere."""

    def at(name: str, plain: str) -> str:
        return text if name == field else plain

    nic = {
        "mac": MAC, "addresses": [at("address", "10.0.0.7/24")],
        "gateway": at("gateway", "10.0.0.1"), "dns": [at("dns", "10.0.0.2")],
        "search": [at("search", "example.org")],
    }  # fmt: skip
    host = {
        **HOST, "serial": at("serial", "S"), "network": {"interfaces": [nic]},
        "labels": {"a": at("label", "b")}, "vars": {"v": at("vars", "w")},
    }  # fmt: skip
    user = {
        "name": at("user", "ops"), "shell": at("shell", "/bin/sh"),
        "ssh_keys": [KEY + at("comment", "")], "password_hash": at("hash", "$6$salt$hashhashhash"),
    }  # fmt: skip
    profile = {
        **PROFILE, "users": [user], "root": {"ssh_keys": [KEY + at("root's comment", "")]},
        "packages": [at("package", "vim")], "timezone": at("timezone", "Etc/UTC"),
        "locale": at("locale", "C.UTF-8"), "keyboard": at("keyboard", "us"),
        "scripts": {"post": at("post", "true"), "first_boot": at("first_boot", "true")},
        "verify": {"release": at("release", "12")},
    }  # fmt: skip
    return host, profile


TEXT_FIELDS = ["address", "gateway", "dns", "search", "serial", "label", "vars", "user", "shell",
               "comment", "hash", "root's comment", "package", "timezone", "locale", "keyboard",
               "post", "first_boot", "release"]  # fmt: skip
IN_A_FIELD = st.one_of(
    HOSTILE,
    st.builds("{}{}".format, st.sampled_from(["10.0.0.2", "fe80::1%", "fe80::9"]), HOSTILE),
    st.builds("fe80::1%{}/64".format, HOSTILE),
)


@cache
def plain_plan() -> Json:
    return plan(*described_with("", "nothing"))


@pytest.mark.slow
@given(st.sampled_from(TEXT_FIELDS), IN_A_FIELD)
@example("dns", "fe80::1%x\n[Match]\nName=*")
@example("address", "fe80::1%x\nGateway=10.6.6.6/64")
@example("first_boot", "DEPLOYER_END_OF_SCRIPT_OF_SCRIPT\nreboot")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_t018_no_accepted_text_changes_the_structure_of_an_answer_file(
    field: str, text: str
) -> None:
    assume(text)  # without one there is no script, and one file less
    with unless_refused():
        after = plan(*described_with(text, field))
    before = plain_plan()
    assert list(keys(after)) == list(keys(before))
    files, plain_files = after["system"]["files"], before["system"]["files"]
    assert [f["path"] for f in files] == [f["path"] for f in plain_files]
    for file, plain_file in zip(files, plain_files, strict=True):
        if file["path"].endswith((".network", ".service")):
            assert unit_keys(file["content"]) == unit_keys(plain_file["content"])
        elif file["path"].endswith("/first-boot"):
            assert file["content"] == plain_file["content"], "no text of theirs in our script"
    for document in after["cloud_init"].values():
        assert document.count("\n") <= 2
    for user in after["system"]["users"]:
        assert all(map(is_plain_line, user["ssh_keys"]))
    assert all(map(is_plain_line, after["system"]["root"]["ssh_keys"]))


@given(st.text("'\"\\$`!#&|;<>(){}*?~ \n\tab", max_size=30))
@settings(max_examples=40, deadline=None)
def test_t018_a_value_in_a_shell_is_one_word_and_the_same(text: str) -> None:
    line = environment(FAMILY).from_string("printf %s {{ value | sh }}").render(value=text)
    done = subprocess.run(["sh"], input=line.encode(), capture_output=True, check=True)
    assert done.stdout.decode() == text


# --- MAC addresses ----------------------------------------------------------------------------

BAD_MACS = [
    "", " ", MAC + "\n", " " + MAC, MAC + " ", "\n" + MAC, MAC[:-1], MAC + "0", MAC + ":00:01",
    "52:54:00:12:34:5g", "52:54:00:12:34", "５２:54:00:12:34:56", "52：54：00：12：34：56",
    "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01",
    "52:54:00:ff:fe:12:34:56", "5254:00ff:fe12:3456", "80:00:00:48:fe:80:00:00:00:00:00:00:00:02",
    "52:5400:12:34:56", "52.54.00.12.34.56", "5254:0012:3456", "0x525400123456", "52:54:00:12:\x00",
    "52:54:00:12:34:٥٦", "52 54 00 12 34 56", "525400-123456", "-52:54:00:12:34:56", "%35%32",
]  # fmt: skip


@pytest.mark.parametrize("mac", [*BAD_MACS, None, 5, ["52:54:00:12:34:56"], True], ids=ascii)
def test_t031_a_mac_of_another_form_is_refused(mac: Any) -> None:
    with pytest.raises(ValueError, match="must"):
        canonical_mac(mac)


@pytest.mark.slow
@on_sqlite
def test_t031_a_bad_mac_is_a_422_for_people_and_the_local_disk_for_machines(
    service: Service,
) -> None:
    service.knows()
    service.deploys()
    for mac in BAD_MACS:
        answer = service.api.post("/api/v1/hosts", json={"name": "bad", "macs": [mac]})
        assert answer.status_code == 422, ascii(mac)
        script = service.machine().http.get("/boot/ipxe", params={"mac": mac})
        assert script.status_code == 200
        assert "kernel" not in script.text, ascii(mac)


RAW_MACS = st.binary(min_size=6, max_size=6).filter(lambda raw: not raw[0] & 1 and any(raw))
STYLES = st.sampled_from(["{0}:{1}:{2}:{3}:{4}:{5}", "{0}-{1}-{2}-{3}-{4}-{5}",
                          "{0}{1}.{2}{3}.{4}{5}", "{0}{1}{2}{3}{4}{5}"])  # fmt: skip


@given(RAW_MACS, STYLES, st.sampled_from([str.upper, str.lower]))
def test_t031_every_usual_spelling_is_one_mac(raw: bytes, style: str, case: Any) -> None:
    octets = [f"{byte:02x}" for byte in raw]
    canonical = canonical_mac(case(style.format(*octets)))
    assert canonical == raw.hex(":") == canonical_mac(canonical)


@given(st.text(max_size=20) | st.from_regex(r"[0-9a-fA-F:.\- \n]{12,20}"))
def test_t031_whatever_is_accepted_is_six_lower_case_bytes(text: str) -> None:
    try:
        canonical = canonical_mac(text)
    except ValueError:
        return
    assert len(bytes.fromhex(canonical.replace(":", ""))) == 6
    assert canonical == canonical.lower() == canonical_mac(canonical)


# --- searching --------------------------------------------------------------------------------

SEARCHES = [
    "'", "' OR 1=1 --", "'; DROP TABLE hosts; --", '"', "\\", "%", "_", "%%", "web%", "*", "\x00",
    "web\x00", "web01' UNION SELECT hash FROM api_tokens --", "a" * 201, "${x}", "{{7*7}}", "\n",
    "\u202e", "ü", "😀", "1) OR (1=1", "$1", ":q", "%(q)s", "?", "NULL", "/**/", "WEB", "[w]eb",
]  # fmt: skip
LISTS = [
    ("hosts", "q"), ("hosts", "label"), ("hosts", "cursor"), ("profiles", "q"),
    ("profiles", "cursor"), ("deployments", "host"), ("deployments", "state"),
    ("deployments", "cursor"), ("images", "cursor"), ("tokens", "cursor"), ("audit", "cursor"),
    ("hosts", "limit"), ("hosts", "sort"), ("hosts", "order_by"),
]  # fmt: skip


def lists(service: Service, kind: str, **query: Any) -> list[str] | None:
    """Names of what is listed; None when the question is refused."""
    answer = service.api.get(f"/api/v1/{kind}", params=query)
    assert answer.status_code in (200, 422), (kind, query, answer.text)
    if answer.status_code == 422:
        return None
    return [str(item.get("name") or item.get("id")) for item in ok(answer)["items"]]


@pytest.mark.slow
def test_t070_a_search_finds_what_holds_the_text_and_nothing_else(service: Service) -> None:
    names = ["web01", "web02", "db01"]
    for number, name in enumerate(names):
        body = {"name": name, "macs": [f"02:00:00:00:00:0{number}"], "labels": {"a": "b'%"}}
        ok(service.api.post("/api/v1/hosts", json=body))
    service.api.post("/api/v1/profiles", json={"name": "p", "os": "image", "release": "debian-12"})
    for text in SEARCHES:
        for kind, parameter in LISTS:
            lists(service, kind, **{parameter: text})
        found = lists(service, "hosts", q=text)
        expected = [name for name in names if text.lower() in name]
        assert found in (None, expected), ascii(text)
        assert lists(service, "hosts", label=f"a={text}") in (None, []), ascii(text)
        assert lists(service, "deployments", host=text) in (None, [])
    assert lists(service, "hosts", label="a=b'%") == sorted(names)
    assert lists(service, "hosts") == sorted(names), "everything is still there"


@pytest.mark.slow
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.sampled_from(LISTS))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_t070_no_text_at_all_upsets_a_list(service: Service, text: str, where: Any) -> None:
    kind, parameter = where
    lists(service, kind, **{parameter: text})


@pytest.mark.slow
@on_sqlite
def test_t070_the_text_of_a_cursor_is_no_query(service: Service) -> None:
    service.knows()
    for text in [*SEARCHES, "9" * 200, "-1", "1e9", "0x1"]:
        cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        for kind in ("hosts", "profiles", "deployments", "images", "tokens", "audit"):
            lists(service, kind, cursor=cursor)
