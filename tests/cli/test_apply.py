"""Files say what the server should know; saying it twice is saying it once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployer.cli import apply, compare
from deployer.cli.compare import Difference
from deployer.services.people import Role
from deployer.store import people as people_store
from tests.cli.conftest import Run, Server

HASH = "$6$abcdefgh$abcdefghijklmnop"


def audit(server: Server) -> list[tuple[str, str, Any]]:
    with server.parts.database.reading() as session:
        rows = people_store.audit_page(session, before=None, limit=100)
    return [(row.action, row.target, row.detail.get("fields")) for row in reversed(rows)]


def test_profiles_and_hosts_are_created_once(server: Server, fleet: Path, run: Run) -> None:
    first = run("apply", "-f", fleet)
    assert first.out == (
        "+ profile debian-12 created\n+ host web01 created\n+ host web02 created\n"
        "3 created, 0 changed, 0 unchanged\n"
    )
    before = audit(server)
    second = run("apply", "-f", fleet)
    assert second.out == "0 created, 0 changed, 3 unchanged\n"
    assert audit(server) == before, "nothing is sent when nothing differs"


def test_a_long_list_is_compared_with_one_request(
    known: Server, fleet: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "_ONE_BY_ONE", 1)
    assert run("apply", "-f", fleet).out == "0 created, 0 changed, 3 unchanged\n"


def test_dry_run_shows_the_difference_and_sends_nothing(
    known: Server, fleet: Path, run: Run
) -> None:
    hosts = fleet / "hosts.yaml"
    text = hosts.read_text().replace("staging", "production").replace("34:57", "34:58")
    hosts.write_text(f"{text}---\nkind: host\nname: web03\nmacs: [525400aa0003]\n")
    before = audit(known)
    shown = run("apply", "-f", fleet, "--dry-run")
    assert shown.out == (
        "~ host web01\n"
        "    labels.env: staging → production\n"
        "~ host web02\n"
        "    macs: + 52:54:00:12:34:58  - 52:54:00:12:34:57\n"
        "+ host web03\n"
        "    macs: 52:54:00:aa:00:03\n"
        "1 created, 2 changed, 1 unchanged (dry run: nothing was sent)\n"
    )
    assert audit(known) == before


def test_only_the_fields_that_changed_are_sent(known: Server, fleet: Path, run: Run) -> None:
    hosts = fleet / "hosts.yaml"
    hosts.write_text(hosts.read_text().replace("staging", "production"))
    assert run("apply", "-f", fleet).out.endswith("0 created, 1 changed, 2 unchanged\n")
    assert audit(known)[-1] == ("host.change", "web01", ["labels"])


def test_a_field_that_the_file_does_not_mention_stays(known: Server, fleet: Path, run: Run) -> None:
    assert run("hosts", "protect", "web01").code == 0
    assert run("apply", "-f", fleet).out == "0 created, 0 changed, 3 unchanged\n"


@pytest.mark.slow
def test_a_profile_is_replaced_as_a_whole(known: Server, fleet: Path, run: Run) -> None:
    profile = fleet / "profile.yaml"
    profile.write_text(profile.read_text() + "packages: [vim]\nscripts: {post: 'echo 1'}\n")
    assert "1 changed" in run("apply", "-f", fleet).out
    profile.write_text(profile.read_text().replace("packages: [vim]\n", ""))
    assert "packages: - vim" in run("apply", "-f", fleet, "--dry-run").out
    assert "1 changed" in run("apply", "-f", fleet).out
    assert "vim" not in run("profiles", "show", "debian-12").out


@pytest.mark.slow
def test_a_secret_is_not_shown_and_does_not_always_differ(
    known: Server, fleet: Path, run: Run
) -> None:
    profile = fleet / "profile.yaml"
    profile.write_text(f"{profile.read_text()}root: {{password_hash: {HASH}}}\n")
    shown = run("apply", "-f", fleet, "--dry-run").out
    assert "root.password_hash: (secret) set" in shown
    assert HASH not in shown
    assert "1 changed" in run("apply", "-f", fleet).out
    assert "0 changed" in run("apply", "-f", fleet).out
    assert "1 changed" in run("apply", "-f", fleet, "--secrets").out


def test_the_name_of_a_secret_is_shown() -> None:
    named = Difference("power.password.secret", "bmc-a1", "bmc-a2")
    assert compare.lines(named) == ["power.password.secret: bmc-a1 → bmc-a2"]
    held = Difference("power.password", None, "letmein")
    assert compare.lines(held) == ["power.password: (secret) set"]


def test_what_show_prints_can_be_applied(known: Server, folder: Path, run: Run) -> None:
    (folder / "kept.yaml").write_text(run("hosts", "show", "web01").out)
    assert run("apply", "-f", "kept.yaml").out == "0 created, 0 changed, 1 unchanged\n"


def test_one_mistake_anywhere_and_nothing_is_sent(server: Server, fleet: Path, run: Run) -> None:
    (fleet / "z.csv").write_text("name,macs\nbad,52:54\n")
    refused = run("apply", "-f", fleet)
    assert refused.code == 1
    assert refused.err.startswith("error: one problem; nothing was sent\n")
    assert f"{fleet}/z.csv:2: macs.0: must be a MAC address" in refused.err
    assert audit(server) == []


@pytest.mark.slow
def test_a_file_does_not_lift_protection(known: Server, fleet: Path, run: Run) -> None:
    run("hosts", "protect", "web02")
    with (fleet / "hosts.yaml").open("a") as file:
        file.write("protected: false\n")
    refused = run("apply", "-f", fleet)
    assert refused.code == 1
    assert f"{fleet}/hosts.yaml:11: protected: web02 is protected" in refused.err
    assert "`deployer hosts unprotect web02`" in refused.err
    assert run("hosts", "unprotect", "web02").code == 0
    assert run("apply", "-f", fleet).code == 0


def test_what_the_server_refuses_is_named_and_the_rest_goes_on(
    server: Server, fleet: Path, run: Run
) -> None:
    profile = fleet / "profile.yaml"
    profile.write_text(profile.read_text().replace("os: image", "os: plan9"))
    outcome = run("apply", "-f", fleet)
    assert outcome.code == 1
    assert outcome.out.endswith("2 created, 0 changed, 0 unchanged, 1 failed\n")
    assert outcome.err.startswith(f"{fleet}/profile.yaml:1: profile debian-12\nerror: there is no")
    assert "field: os  value: plan9" in outcome.err


@pytest.mark.slow
def test_a_mac_may_move_to_a_host_that_comes_first(known: Server, fleet: Path, run: Run) -> None:
    hosts = fleet / "hosts.yaml"
    moved = hosts.read_text().replace("34:57", "34:58")
    hosts.write_text(moved.replace('34:56"', '34:56", "52:54:00:12:34:57"'))
    outcome = run("apply", "-f", fleet)
    assert (outcome.code, outcome.err) == (0, "")


def test_without_the_right_to_it_the_first_refusal_is_enough(
    server: Server, fleet: Path, run: Run
) -> None:
    outcome = run("--token", server.token(Role.VIEWER), "apply", "-f", fleet)
    assert outcome.code == 1
    assert outcome.err.count("error:") == 1


def test_an_answer_file_may_lie_beside_the_profile_that_names_it(
    server: Server, tmp_path: Path, run: Run
) -> None:
    profile = tmp_path / "profile.yaml"
    profile.write_text(
        "kind: profile\nname: own\nos: image\nrelease: debian-12\n"
        "answer_files:\n  plan.json: {file: own.json, template: true}\n"
    )
    missing = run("apply", "-f", profile)
    assert missing.code == 1
    assert "profile.yaml:6" in missing.err and "own.json" in missing.err
    (tmp_path / "own.json").write_text('{"host": "{{ host.name }}"}\n')
    assert "+ profile own created" in run("apply", "-f", profile).out
    assert run("apply", "-f", profile).out == "0 created, 0 changed, 1 unchanged\n"
