"""What the reading commands print, for people and as JSON; errors and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deployer.cli import client
from deployer.core.lifecycle import Event
from deployer.services.people import Role
from tests.cli.conftest import Run, Server


@pytest.fixture
def deployed(known: Server, run: Run) -> Server:
    """web01 failed with a hostile message, web02 is installing."""
    for host in ("web01", "web02"):
        assert run("deploy", host, "--profile", "debian-12").code == 0
    known.advances(known.latest("web01"), Event.START)
    known.advances(
        known.latest("web01"), Event.INSTALLER_FAILED, cause="\x1b]0;x\x07[bold]no disk\nat all",
        detail={"message": "\x1b[2J[red]gone"},
    )  # fmt: skip
    known.advances(known.latest("web02"), Event.START)
    known.advances(known.latest("web02"), Event.ANSWERS_FETCHED)
    known.reports(known.latest("web02"), stage="writing", percent=42, message="[red]x\x1b[1m")
    return known


def test_status_of_a_host_is_its_latest_deployment_with_its_history(
    deployed: Server, run: Run
) -> None:
    shown = run("status", "web01")
    assert shown.out.startswith("web01 becomes debian-12: failed\n")
    assert "\\x1b]0;x\\x07[bold]no disk\n" in shown.out
    assert "\\x1b[2J[red]gone" in shown.out
    assert "\x1b" not in shown.out
    assert "10.0.0.7" in shown.out


def test_status_as_json_is_what_the_api_says(deployed: Server, run: Run) -> None:
    document = json.loads(run("status", "web02", "--json").out)
    assert document["id"] == deployed.latest("web02")
    assert (document["host"], document["state"]) == ("web02", "installing")
    assert [event["to"] for event in document["events"]] == ["queued", "booting", "installing"]


@pytest.mark.slow
def test_status_without_a_host_is_a_table_with_the_unfinished_first(
    deployed: Server, run: Run
) -> None:
    head, first, second = run("status").out.splitlines()
    assert head.split() == ["HOST", "PROFILE", "STATE", "SINCE", "ID", "WHAT"]
    assert first.split()[:3] == ["web02", "debian-12", "installing"]
    assert "writing 42 % [red]x\\x1b[1m" in first
    assert "[bold]no disk at all" in second
    assert len(run("status", "--state", "failed").out.splitlines()) == 2
    assert run("status", "--profile", "other").out == "there are no such deployments\n"


@pytest.mark.slow
def test_lists_are_followed_to_their_end(
    deployed: Server, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_PAGE", 1)
    for command in (["status"], ["hosts"]):
        document = json.loads(run(*command, "--json").out)
        assert len(document["items"]) == 2
        assert document["next"] is None


def test_a_deployment_is_named_by_host_by_id_or_by_the_end_of_its_id(
    deployed: Server, run: Run
) -> None:
    id_ = deployed.latest("web01")
    for name in ("web01", id_, id_[-8:]):
        assert id_ in run("status", name).out


def test_a_host_that_never_had_a_deployment(known: Server, run: Run) -> None:
    assert run("status", "web01").out == "web01 has had no deployment yet\n"
    assert json.loads(run("status", "web01", "--json").out) is None
    outcome = run("explain", "web01")
    assert outcome.code == 1
    assert "deployer deploy web01" in outcome.err


def test_what_nobody_knows(known: Server, run: Run) -> None:
    outcome = run("status", "web99")
    assert outcome.code == 1
    assert outcome.err.startswith("error: there is no host and no deployment 'web99'\n")


@pytest.mark.slow
def test_explain_says_what_was_seen_what_is_expected_and_what_is_likely(
    deployed: Server, run: Run
) -> None:
    lines = run("explain", "web02").out.splitlines()
    assert lines[0].startswith("web02 becomes debian-12: installing for 0 s")
    assert [line.split()[0] for line in lines[1:4]] == ["last", "expected", "likely"]
    assert "1. the installer stopped" in lines[3]
    document = json.loads(run("explain", "web02", "--json").out)
    assert {"state", "cause", "last_seen", "expected", "likely"} <= set(document)


@pytest.mark.slow
def test_cancel(deployed: Server, run: Run) -> None:
    id_ = deployed.latest("web02")
    assert run("cancel", "web02").out == f"web02: {id_} is cancelled\n"
    again = run("cancel", "web02")
    assert again.code == 1
    assert "cannot be cancelled" in again.err


@pytest.mark.slow
def test_hosts(known: Server, run: Run) -> None:
    lines = run("hosts").out.splitlines()
    assert lines[1].split() == ["web01", "52:54:00:12:34:56", "rack=a1", "env=staging"]
    assert len(run("hosts", "--label", "rack=a1").out.splitlines()) == 2
    assert len(run("hosts", "-q", "34:57").out.splitlines()) == 2
    assert run("hosts", "-q", "nothing").out == "no host is like this\n"
    assert json.loads(run("hosts", "show", "web01", "--json").out)["name"] == "web01"
    assert "kind: host\nname: web01\n" in run("hosts", "show", "web01").out
    assert run("hosts", "delete", "web01").out == "web01 is deleted\n"
    assert run("hosts", "show", "web01").code == 1


def test_profiles_and_images(known: Server, run: Run) -> None:
    assert run("profiles").out.splitlines()[1].split()[:3] == ["debian-12", "image", "debian-12"]
    assert json.loads(run("profiles", "show", "debian-12", "--json").out)["os"] == "image"
    names = [item["name"] for item in json.loads(run("image", "list", "--json").out)["items"]]
    assert names == ["debian-12-x86_64", "live-x86_64"]
    assert "live-x86_64" in run("image", "list").out
    assert "path: vmlinuz" in run("image", "show", "live-x86_64").out
    assert run("profiles", "delete", "debian-12").code == 0


def test_check_finds_what_would_fail(known: Server, fleet: Path, run: Run) -> None:
    good = run("check", "debian-12", "--host", "web01")
    assert (good.code, good.out) == (0, "debian-12 for web01: nothing is wrong\n")
    profile = fleet / "profile.yaml"
    profile.write_text(profile.read_text() + "scripts: {post: 'if true'}\n")
    assert run("apply", "-f", fleet).code == 0
    bad = run("check", "debian-12")
    assert bad.code == 1
    assert bad.out.startswith("plan.json:")
    assert " → " in bad.out
    assert json.loads(run("check", "debian-12", "--json").out)["findings"]


# --- errors -----------------------------------------------------------------------------------


def test_a_server_that_is_not_there(run: Run) -> None:
    outcome = run("--server", "http://127.0.0.1:1", "hosts")
    assert outcome.code == 1
    assert "no answer from http://127.0.0.1:1" in outcome.err
    assert "DEPLOYER_SERVER=http://" in outcome.err


@pytest.mark.parametrize("token", ["", "dpl_wrong"])
def test_a_wrong_token(server: Server, run: Run, token: str) -> None:
    outcome = run("--token", token, "hosts")
    assert outcome.code == 1
    assert "deployer token create" in outcome.err


def test_settings_that_cannot_be_meant(run: Run) -> None:
    outcome = run("--server", "10.0.0.5:8080", "hosts")
    assert outcome.code == 2
    assert "field: DEPLOYER_SERVER  value: 10.0.0.5:8080" in outcome.err
    hidden = run("--token", "dpl_se cret", "hosts")
    assert hidden.code == 2
    assert "cret" not in hidden.err


def test_server_and_token_may_stand_in_a_file(
    known: Server, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = known.token(Role.VIEWER)
    monkeypatch.delenv("DEPLOYER_SERVER")
    monkeypatch.delenv("DEPLOYER_TOKEN")
    (folder / ".env").write_text(f"DEPLOYER_SERVER={known.url}\nDEPLOYER_TOKEN={token}\n")
    assert "web01" in run("hosts").out


def test_a_name_cannot_leave_its_place_in_the_path(known: Server, run: Run) -> None:
    for name in ("..", "a/b", ""):
        assert "is no name" in run("hosts", "delete", name).err
