"""Commands on the server's own machine: tokens, database, images, the service itself."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Run, Server
from tests.support.images import KERNEL


def test_token_create_prints_the_secret_and_nothing_else(server: Server, run: Run) -> None:
    made = run("token", "create", "--name", "me", "--role", "admin")
    assert made.code == 0
    secret = made.out.removesuffix("\n")
    assert secret.startswith("dpl_")
    assert not set(secret) & set(" \n")
    assert "admin token me" in made.err
    answer = httpx.get(
        f"{server.url}/api/v1/tokens", headers={"Authorization": f"Bearer {secret}"},
        trust_env=False,
    )  # fmt: skip
    assert answer.status_code == 200


@pytest.mark.slow
def test_tokens_are_listed_and_revoked(run: Run) -> None:
    assert run("token", "list").out == "there are no tokens yet\n"
    run("token", "create", "--name", "me")
    assert run("token", "list").out.splitlines()[1].split()[:2] == ["me", "operator"]
    (item,) = json.loads(run("token", "list", "--json").out)["items"]
    assert set(item) == {"id", "name", "role", "created_at", "expires_at", "last_used_at"}
    again = run("token", "create", "--name", "me")
    assert again.code == 1
    assert again.out == ""
    assert run("token", "revoke", "me").code == 0
    assert run("token", "revoke", "me").code == 1
    assert "must begin with a letter" in run("token", "create", "--name", "a b").err


@pytest.mark.slow
def test_an_empty_database_is_made_only_when_it_is_asked_for(run: Run, folder: Path) -> None:
    (folder / "data" / "deployer.db").unlink()
    for command in (["token", "list"], ["db", "migrate"], ["db", "check"]):
        refused = run(*command)
        assert refused.code == 2
        assert "deployer db create" in refused.err
    assert run("db", "create").code == 0
    assert run("token", "list").code == 0
    assert run("db", "migrate").code == 0


def test_the_database_is_checked(run: Run, folder: Path) -> None:
    document = json.loads(run("db", "check", "--json").out)
    assert document["integrity"] == "ok"
    assert document["engine"].startswith("SQLite 3.")
    assert run("db", "check").code == 0
    file = folder / "data" / "deployer.db"
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    connection.close()
    behind = run("db", "check")
    assert behind.code == 1
    assert "deployer db migrate" in behind.out
    file.write_bytes(b"no database" * 1000)
    damaged = run("db", "check")
    assert damaged.code == 1
    assert "file is not a database" in damaged.out


@pytest.fixture
def image(folder: Path) -> Path:
    """A folder as `image build --dir` leaves it."""
    made = folder / "my-live"
    made.mkdir()
    (made / "vmlinuz").write_bytes(KERNEL)
    entry = {"path": "vmlinuz", "size": len(KERNEL), "sha256": _sha256(KERNEL)}
    facts = {"name": "live-arm64", "kind": "live", "arch": "arm64", "files": [entry]}
    (made / "image.json").write_text(json.dumps(facts))
    return made


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_an_image_is_checked_and_registered(server: Server, run: Run, image: Path) -> None:
    for _ in range(2):
        assert run("image", "add", image).out == "live-arm64 is registered\n"
    assert "live-arm64" in run("image", "list").out
    kept = server.parts.settings.images_dir / "live-arm64" / "vmlinuz"
    assert kept.read_bytes() == KERNEL


def test_an_image_that_differs_is_refused_by_the_name_of_the_file(run: Run, image: Path) -> None:
    (image / "vmlinuz").write_bytes(KERNEL[:-1] + b"x")
    assert f"{image}/vmlinuz has another SHA-256" in run("image", "add", image).err
    (image / "vmlinuz").write_bytes(KERNEL[:-1])
    assert f"{image}/vmlinuz has {len(KERNEL) - 1} bytes" in run("image", "add", image).err
    (image / "vmlinuz").rename(image / "other")
    (image / "vmlinuz").symlink_to("other")
    refused = run("image", "add", image)
    assert refused.code == 1
    assert "no plain file" in refused.err


def test_an_image_cannot_reach_out_of_its_folder(run: Run, image: Path) -> None:
    (image.parent / "outside").mkdir()
    (image.parent / "outside" / "vmlinuz").write_bytes(KERNEL)
    (image / "sub").symlink_to(image.parent / "outside")
    text = (image / "image.json").read_text()
    for path in ("../outside/vmlinuz", "sub/vmlinuz", "/etc/passwd"):
        (image / "image.json").write_text(text.replace('"vmlinuz"', json.dumps(path)))
        assert run("image", "add", image).code == 1
    assert not list((image.parent / "data").glob("images/*"))


def test_a_distributions_installer_is_fetched_by_its_name_and_registered(
    server: Server, run: Run, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(dest: Path, *, release: str, arch: str, **_: object) -> None:
        facts = json.loads((image / "image.json").read_text())
        name = f"debian-installer-{release}-{arch}"
        (image / "image.json").write_text(json.dumps({**facts, "name": name}))
        image.rename(dest)

    monkeypatch.setattr("deployer.media.build.fetch_debian_installer", fetch)
    server.parts.settings.images_dir.mkdir(exist_ok=True)
    said = run("image", "add", "debian-12-arm64").out
    assert said == "debian-installer-12-arm64 is registered\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("debian-99", "there is no installer for Debian 99 on x86_64"),
        ("debian-13-i386", "there is no installer for Debian 13 on i386"),
        ("freebsd-15", "freebsd-15 is no image"),
    ],
)
def test_an_installer_that_nobody_knows_is_refused(run: Run, source: str, message: str) -> None:
    refused = run("image", "add", source)
    assert refused.code != 0
    assert message in refused.err


def test_an_image_is_built_where_it_is_wanted(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(
        "deployer.media.build.build_live", lambda dest, **how: asked.append((dest, how["arch"]))
    )
    monkeypatch.setattr(
        "deployer.media.build.build_debian_root",
        lambda dest, **how: asked.append((dest, how["release"], how["mirror"], how["include"])),
    )
    assert run("image", "build", "live-arm64", "--dir", "here").code == 0
    arguments = ["image", "build", "debian-12", "--dir", "root", "--mirror", "http://m/"]
    assert run(*arguments, "--include", "nginx", "--include", "cloud-init").code == 0
    assert asked == [
        (Path("here"), "arm64"), (Path("root"), "12", "http://m/", ["nginx", "cloud-init"]),
    ]  # fmt: skip
    assert "'a,b' cannot be included" in run("image", "build", "debian-12", "--include", "a,b").err
    assert "'nginx' cannot be included" in run("image", "build", "live", "--include", "nginx").err
    assert "there is no recipe for 'windows'" in run("image", "build", "windows").err


def test_a_build_that_cannot_be_done_says_what_would_help(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deployer.media.build import BuildError

    def fail(*_: object, **__: object) -> None:
        raise BuildError("zstd is missing", "apt-get install zstd")

    monkeypatch.setattr("deployer.media.build.build_live", fail)
    outcome = run("image", "build", "live")
    assert outcome.code == 1
    assert outcome.err == "error: zstd is missing\n  remedy: apt-get install zstd\n"


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_wrong_setting_stops_the_start(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("DEPLOYER_LISTEN", "8080")
    outcome = run(command)
    assert outcome.code == 2
    assert outcome.err.startswith("error: DEPLOYER_LISTEN='8080': must be HOST:PORT")
    assert "remedy: correct DEPLOYER_LISTEN" in outcome.err


def test_a_database_that_is_just_starting_is_no_wrong_setting(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYER_DATABASE_URL", "postgresql://deployer@127.0.0.1:1/deployer")
    outcome = run("serve")
    assert outcome.code == 1, "systemd tries again"
    assert "the database does not answer" in outcome.err
