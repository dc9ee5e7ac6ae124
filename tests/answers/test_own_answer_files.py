"""An operator's own answer file in place of ours, and a made-up OS from a folder of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from deployer.answers import prepare
from deployer.answers.checks import check_shell
from deployer.answers.families import Catalogue, FoundFamily
from tests import golden
from tests.support.service import MAC, Service, ok

HOST: dict[str, Any] = {"name": "web01", "macs": [MAC]}
CALLS = ("installer_started", "installer_finished", "installer_failed", "first_boot")
PRESEED = (golden.ANSWERFILES / "debian/golden/dhcp/preseed.cfg").read_text()


def rendered(files: dict[str, Any], family: str = "debian") -> tuple[dict[str, str], list[str]]:
    found = golden.found(family)
    profile = {"name": "own", "answer_files": files}
    texts, findings = golden.rendered(found, golden.snapshot(found, HOST, profile))
    return texts, [finding.message for finding in findings]


def test_a_file_of_ones_own_goes_through_unchanged() -> None:
    own = PRESEED + "# {{ not a template }} {% here %}\n"
    texts, findings = rendered({"preseed.cfg": {"content": own}})
    assert texts["preseed.cfg"] == own
    assert "PHONE_HOME=http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/phone-home" in texts["agent.sh"]
    assert findings == []


def test_it_is_held_to_the_installers_grammar_with_its_line() -> None:
    own = PRESEED + "d-i nosuch/question string x\n"
    _, findings = rendered({"preseed.cfg": {"content": own}})
    line = own.count("\n")
    assert findings == [
        f"preseed.cfg, line {line}: nosuch/question: the installer has no such question"
    ]


def test_of_a_thousand_findings_a_hundred_are_shown_and_the_others_counted() -> None:
    own = PRESEED + "".join(f"d-i nosuch/question{n} string x\n" for n in range(1000))
    _, findings = rendered({"preseed.cfg": {"content": own}})
    assert (len(findings), findings[-1]) == (101, "900 more findings")


def test_a_template_of_ones_own_sees_what_ours_see_and_has_the_calls_as_macros() -> None:
    own = (
        '{% import "calls.j2" as calls %}\n'
        + PRESEED.replace("/TOKEN-ANSWERS/", '/{{ urls.answers.split("/")[-2] }}/')
        + "d-i preseed/include_command string {{ calls.curl(urls, 'installer_finished') }}"
    )
    texts, _ = rendered({"preseed.cfg": {"content": own, "template": True}})
    assert (
        "http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/phone-home/installer_finished"
        in (texts["preseed.cfg"])
    )


def test_what_a_template_of_ones_own_lacks_is_named_with_its_field() -> None:
    own = {"preseed.cfg": {"content": "{{ vars.colour }}", "template": True}}
    with pytest.raises(prepare.Invalid, match=r"answer_files.preseed.cfg: .*colour"):
        rendered(own)


def test_a_file_without_the_calls_is_a_finding_that_says_what_to_add() -> None:
    silent = {name: {"content": "#!/bin/sh\n"} for name in ("agent.sh", "system.sh")}
    found = golden.found("debian")
    snapshot = golden.snapshot(found, HOST, {"name": "own", "answer_files": silent})
    _, findings = golden.rendered(found, snapshot)
    missing = [f for f in findings if "nothing calls" in f.message]
    # The preseed itself reports a failure to fetch agent.sh.
    assert [m.message.split("calls ")[1].split(",")[0] for m in missing] == [
        "installer_started", "installer_finished", "first_boot",
    ]  # fmt: skip
    assert "/d/TOKEN-PHONE-HOME/phone-home/installer_finished" in missing[1].remedy


def test_a_file_that_the_installer_never_asks_for_is_refused_by_name(service: Service) -> None:
    ok(service.api.post("/api/v1/hosts", json=HOST))
    profile = {"name": "own", "os": "image", "release": "debian-12",
               "answer_files": {"ks.cfg": {"content": "x"}}}  # fmt: skip
    answer = service.api.post("/api/v1/profiles", json=profile)
    assert answer.status_code == 422
    assert answer.json()["field"] == "answer_files.ks.cfg"
    assert "plan.json" in answer.json()["remedy"]


@pytest.mark.parametrize("event", CALLS)
@pytest.mark.parametrize("client", ["curl", "wget"])
def test_each_call_is_shell_that_never_stops_an_installation(client: str, event: str) -> None:
    found = golden.found("debian")
    text = '{% import "calls.j2" as calls %}set -e\n'
    text += f'{{{{ calls.{client}(urls, "{event}") }}}}echo on\n'
    own = {"agent.sh": {"content": text, "template": True}}
    snapshot = golden.snapshot(found, HOST, {"name": "own", "answer_files": own})
    script = prepare.answers(found, golden.context_of(snapshot))["agent.sh"]
    assert check_shell(script, "sh", "agent.sh", "agent.sh") == []
    fake = f'{client}() {{ echo "$*"; return 7; }}\n'
    done = subprocess.run(["sh", "-c", fake + script], capture_output=True, text=True, check=True)
    called, on = done.stdout.splitlines()
    assert called.endswith(f"/d/TOKEN-PHONE-HOME/phone-home/{event}") and on == "on"


def test_a_log_goes_along_whatever_it_holds(tmp_path: Path) -> None:
    log = tmp_path / "a log"
    log.write_bytes(b'it said "no"\\ and\nended \x00\x1b[31m' + "ü".encode())
    text = (
        '{% import "calls.j2" as calls %}'
        + f'{{{{ calls.curl(urls, "installer_failed", "{log}") }}}}'
    )
    found = golden.found("debian")
    own = {"agent.sh": {"content": text, "template": True}}
    snapshot = golden.snapshot(found, HOST, {"name": "own", "answer_files": own})
    script = prepare.answers(found, golden.context_of(snapshot))["agent.sh"]
    fake = 'curl() { while [ "$1" != -d ]; do shift; done; printf %s "$2"; }\n'
    done = subprocess.run(["sh", "-c", fake + script], capture_output=True, text=True, check=True)
    assert done.stdout == '{"log_tail": "it said no and\\nended [31m"}'


# --- an OS that nobody here has heard of --------------------------------------------------------

FAMILY = """\
label: Temple OS
installer: live_image
arches: [x86_64]
layouts: [plain]
boot:
  image: temple-{{ release }}
  kernel: KERNEL.BIN
  args: ["a={{ urls.answers }}/answer.txt"]
  linux: false
  loaders: [ipxe]
answers:
  - {path: answer.txt, template: answer.txt.j2, format: text, line_ends: crlf}
  - path: seed.tar.gz
    format: tar.gz
    members:
      - {path: etc/motd, template: motd.j2}
      - {path: etc/run, link: /etc/motd}
unsupported: [users, root, packages, package_groups, repositories, proxy, mirror, scripts]
calls: [installer_finished]
releases:
  - {version: "5"}
  - {version: "6", facts: {word: newer}, layouts: [plain, lvm], unsupported: [packages]}
"""


@pytest.fixture
def temple(tmp_path: Path) -> FoundFamily:
    folder = tmp_path / "temple"
    folder.mkdir()
    (folder / "family.yaml").write_text(FAMILY)
    (folder / "answer.txt.j2").write_text(
        'name {{ host.name }}\n{% import "calls.j2" as calls %}'
        '{{ calls.wget(urls, "installer_finished") }}'
    )
    (folder / "motd.j2").write_text("{{ release.word | default('old') }} {{ machine.firmware }}\n")
    found = Catalogue([tmp_path, golden.ANSWERFILES]).get("temple")
    assert found is not None
    return found


def test_a_new_os_touches_only_its_folder(temple: FoundFamily) -> None:
    snapshot = golden.snapshot(temple, HOST, {"name": "p", "release": "6"})
    context = golden.context_of(snapshot, "uefi")
    files = prepare.answers(temple, context)
    assert files["answer.txt"].startswith("name web01\nwget ")
    assert files["seed.tar.gz/etc/motd"] == "newer uefi\n"
    boot = prepare.boot(temple, context)
    script = golden.ipxe.script(boot)
    assert (
        "kernel --name KERNEL.BIN http://10.0.0.5:8081/images/temple-6/KERNEL.BIN"
        " a=http://10.0.0.5:8081/d/TOKEN-ANSWERS/answers/answer.txt || goto failed" in script
    )
    assert "GRUB cannot start this installer, ipxe is needed" in golden.grub.script(boot)
    assert "linux " not in golden.grub.script(boot)


def test_a_release_may_do_more_than_its_family(temple: FoundFamily) -> None:
    asked = {"name": "p", "packages": ["x"], "proxy": "http://p:1", "storage": {"layout": "lvm"}}
    refused = {
        version: [
            finding.field
            for finding in prepare.unsupported(
                temple.family, golden.snapshot(temple, HOST, {**asked, "release": version}).profile
            )
        ]
        for version in ("5", "6")
    }
    assert refused == {"5": ["storage.layout", "packages", "proxy"], "6": ["packages"]}


def test_an_archive_is_the_same_bytes_each_time_and_belongs_to_root(
    temple: FoundFamily, tmp_path: Path
) -> None:
    snapshot = golden.snapshot(temple, HOST, {"name": "p"})
    files = prepare.answers(temple, golden.context_of(snapshot))
    text, archive = temple.family.answers
    assert prepare.packed(text, files).startswith(b"name web01\r\nwget ")
    packed = prepare.packed(archive, files)
    assert packed == prepare.packed(archive, dict(files))
    file = tmp_path / "seed.tar.gz"
    file.write_bytes(packed)
    listed = subprocess.run(
        ["tar", "tvzf", file], capture_output=True, text=True, check=True
    ).stdout
    assert [line.split()[:2] + line.split()[5:] for line in listed.splitlines()] == [
        ["-rw-r--r--", "root/root", "etc/motd"],
        ["lrwxrwxrwx", "root/root", "etc/run", "->", "/etc/motd"],
    ]
