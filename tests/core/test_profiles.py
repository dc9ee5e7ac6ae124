"""The one description: what it accepts, and what it says of each field that is wrong."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from deployer.core.profiles import ProfileSpec, Storage

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5p1gk0wU4bJ7yqT8rXq3o9m0Yy0c2y6s7k5p1gk0wU ops@example"
HASH = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7"
PROFILE = {"name": "web", "os": "image", "release": "debian-12"}


def user(**change: Any) -> dict[str, Any]:
    return {"users": [{"name": "ops", **change}]}


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"name": "a b"}, "name", "must begin with a letter or digit"),
        ({"os": "../etc"}, "os", "must begin with a letter or digit"),
        ({"release": 12}, "release", "valid string"),
        ({"arch": "sparc"}, "arch", "'x86_64', 'arm64', 'armhf' or 'i386'"),
        ({"locale": "en_us"}, "locale", "such as en_US.UTF-8"),
        ({"keyboard": "US keyboard"}, "keyboard", "such as us or de-ch"),
        ({"timezone": "Europe/Zuerich"}, "timezone", "such as Europe/Zurich"),
        ({"ntp": ["a b"]}, "ntp.0", "must be a host name"),
        ({"storage": {"disk": {"min_size": "big"}}}, "storage.disk.min_size", "such as 8G"),
        ({"storage": {"disk": {"pick": "any"}}}, "storage.disk.pick", "'smallest', 'largest'"),
        ({"storage": {"disk": {"vendor": "x"}}}, "storage.disk.vendor", "Extra inputs"),
        ({"storage": {"layout": "zfs"}}, "storage.layout", "'plain', 'lvm', 'raid1'"),
        (user(name="Ops"), "users.0.name", "must be a user name: a-z"),
        (user(name="a" * 33), "users.0.name", "at most 32"),
        (user(password_hash="secret"), "users.0.password_hash", "`mkpasswd -m yescrypt`"),
        (user(password_hash=HASH + "\n"), "users.0.password_hash", "crypt(3) hash"),
        (user(password="x"), "users.0.password", "Extra inputs"),
        (user(ssh_keys=["AAAA"]), "users.0.ssh_keys.0", "type, base64 and an optional comment"),
        (user(ssh_keys=[KEY + "\n" + KEY]), "users.0.ssh_keys.0", "must be one "),
        (user(ssh_keys=["command=\"x\" " + KEY]), "users.0.ssh_keys.0", "one OpenSSH public key"),
        (user(ssh_keys=[KEY + "\x00"]), "users.0.ssh_keys.0", "must be one "),
        (user(ssh_keys=[KEY + "\x1b[2J"]), "users.0.ssh_keys.0", "must be one "),
        ({"root": {"ssh_keys": [KEY + "\x85x"]}}, "root.ssh_keys.0", "must be one "),
        (user(shell="/bin/sh\n"), "users.0.shell", "one line of text"),
        ({"users": [{"name": "root"}]}, "", "set `root:` instead"),
        ({"users": [{"name": "a"}, {"name": "a"}]}, "", "put its keys in one entry"),
        ({"root": {"password_hash": "x"}}, "root.password_hash", "`mkpasswd -m yescrypt`"),
        ({"packages": ["nginx; rm"]}, "packages.0", "must be the name of a package"),
        ({"packages": ["-o=x"]}, "packages.0", "must be the name of a package"),
        ({"mirror": "ftp://a/"}, "mirror", "http:// or https://"),
        ({"mirror": "http://me:pw@a/"}, "mirror", "without user or blank"),
        ({"mirror": "http://a/ b"}, "mirror", "without user or blank"),
        ({"mirror": "http://a/\u2028b"}, "mirror", "must be a URL"),
        ({"mirror": "http://a\xa0b/"}, "mirror", "must be a URL"),
        ({"mirror": "http://a\x1bb/"}, "mirror", "must be a URL"),
        ({"proxy": "http://a/\x00"}, "proxy", "must be a URL"),
        ({"proxy": "http://"}, "proxy", "must be a URL"),
        ({"kernel_args": ["x=a b"]}, "kernel_args.0", "has a blank"),
        ({"kernel_args": ["x=${net0/ip}"]}, "kernel_args.0", "boot loaders cannot carry"),
        ({"kernel_args": ["|| shell"]}, "kernel_args.0", "characters that none has"),
        ({"scripts": {"post": "echo a\r\n"}}, "scripts.post", "remove carriage returns"),
        ({"scripts": {"pre": "a\x00"}}, "scripts.pre", "control characters"),
        ({"scripts": {"later": "x"}}, "scripts.later", "Extra inputs"),
        ({"verify": True}, "verify", ""),
        ({"verify": {"packages": ["a b"]}}, "verify.Verify.packages.0", "name of a package"),
        ({"workflow": "in stall"}, "workflow", "only letters, digits"),
        ({"protected": False}, "protected", "Extra inputs"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_with_a_profile_is_said_by_field_with_a_remedy(
    change: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(ValidationError) as refusal:
        ProfileSpec.model_validate({**PROFILE, **change})
    first = refusal.value.errors()[0]
    assert ".".join(map(str, first["loc"])).startswith(field)
    assert words in first["msg"]


@pytest.mark.parametrize(
    "change",
    [
        {"locale": "C.UTF-8"}, {"locale": "de_CH.UTF-8@euro"}, {"keyboard": "de-latin1"},
        {"timezone": "Europe/Zurich"}, {"mirror": "http://[2001:db8::1]:3142/debian"},
        user(name="_apt-2"), user(ssh_keys=[KEY, KEY.rsplit(" ", 1)[0]]),
        user(password_hash=HASH), user(password_hash="$6$rounds=5000$saltsalt$" + "a" * 86),
        {"packages": ["g++-12", "libc6:i386", "python3.11", "core"]},
        {"kernel_args": ["quiet", "console=ttyS0,115200n8", "net.ifnames=0", "a=b=c", "x="]},
        {"scripts": {"post": "if true; then\n\techo ü\nfi\n"}}, {"verify": False},
    ],
    ids=str,
)  # fmt: skip
def test_usual_values_are_accepted(change: dict[str, Any]) -> None:
    ProfileSpec.model_validate({**PROFILE, **change})


def test_an_account_is_locked_unless_something_is_set() -> None:
    profile = ProfileSpec.model_validate({**PROFILE, **user()})
    account = profile.users[0]
    assert (account.sudo, account.ssh_keys, account.password_hash) == (False, [], None)
    assert (profile.root.ssh_keys, profile.root.password_hash) == ([], None)


def test_password_hashes_are_the_secrets_of_a_profile() -> None:
    other = "$6$saltsalt$" + "a" * 86
    profile = ProfileSpec.model_validate(
        {**PROFILE, **user(password_hash=HASH), "root": {"password_hash": other}}
    )
    assert profile.secrets() == [HASH, other]


@pytest.mark.parametrize(
    ("volumes", "message"),
    [
        ([{"mount": "/srv"}], "and here it is / and /srv"),
        ([{"mount": "/", "size": "9G"}], "and here it is none of them"),
        (
            [{"mount": "/srv", "size": "9G"}, {"mount": "/srv", "size": "1G"}],
            "one mount point twice",
        ),
        ([{"mount": "/boot", "size": "1G"}], "the layout, or the system itself, takes care of it"),
        ([{"mount": "/a b", "size": "1G"}], "an absolute path of plain names"),
        ([{"mount": "/srv/../etc", "size": "1G"}], "an absolute path of plain names"),
    ],
)
def test_volumes_must_add_up(volumes: list[dict[str, str]], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        Storage.model_validate({"volumes": volumes})


def test_what_is_left_goes_to_the_one_volume_without_a_size() -> None:
    storage = Storage.model_validate(
        {"volumes": [{"mount": "/srv"}, {"mount": "/", "size": "9GB"}]}
    )
    assert [(v.mount, v.size) for v in storage.file_systems()] == [("/", 9 * 10**9), ("/srv", None)]
    assert [(v.mount, v.size) for v in Storage().file_systems()] == [("/", None)]


def test_each_secret_that_a_profile_names_is_known_by_name() -> None:
    profile = ProfileSpec.model_validate(
        {
            "name": "web", "os": "debian", "release": "12",
            "users": [{"name": "ops", "password_hash": {"secret": "b"}}],
            "root": {"password_hash": {"secret": "a"}},
            "registration": {"key": {"secret": "c"}},
            "storage": {"layout": "encrypted", "passphrase": {"secret": "b"}},
            "vars": {"token": {"secret": "d"}, "other": {"secret": "e", "more": 1}, "x": "secret"},
        }
    )  # fmt: skip
    assert profile.secret_names() == ["a", "b", "c", "d"]
    assert profile.secrets() == []


@pytest.mark.parametrize(
    ("storage", "needed"),
    [
        ({}, 4),
        ({"swap": "1GB"}, 1 + 4),
        ({"swap": "0B", "volumes": [{"mount": "/srv", "size": "10GB"}]}, 10 + 4),
        ({"volumes": [{"mount": "/", "size": "9GB"}, {"mount": "/srv"}]}, 9 + 2),
    ],
    ids=str,
)
def test_a_disk_must_hold_what_has_a_size_and_the_system(
    storage: dict[str, Any], needed: int
) -> None:
    assert Storage.model_validate(storage).needs(4 * 10**9) == needed * 10**9


def test_a_key_that_is_given_twice_counts_once() -> None:
    other = KEY.rsplit(" ", 1)[0] + " other"
    profile = ProfileSpec.model_validate({**PROFILE, "root": {"ssh_keys": [KEY, other, KEY]}})
    assert profile.root.ssh_keys == [KEY, other]
