"""cloud-config, judged by cloud-init's own JSON schema where the package is at hand.

Subiquity judges `autoinstall.user-data` by it too, and gives up where it does not fit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator
from jsonschema.exceptions import SchemaError

from deployer.core.documents import Place
from deployer.core.profiles import is_password_hash

SCHEMA = "schema-cloud-config-v1.json"
# Where the package cloud-init keeps it, first of those that exist.
FOLDERS = [
    Path("/usr/lib/python3/dist-packages/cloudinit/config/schemas"),
    Path("/usr/lib/python3/site-packages/cloudinit/config/schemas"),
    Path("/usr/share/cloud-init/schemas"),
]
# Known to whoever reads the rest of it: Subiquity, and cloud-init's part handlers.
_OTHERS = {"autoinstall", "merge_how", "merge_type"}


@lru_cache(maxsize=4)
def _validator(file: Path) -> tuple[Draft4Validator, frozenset[str]] | None:
    """The validator, and all keys that may stand at the top; None for a file that is no schema."""
    try:
        schema = json.loads(file.read_text(encoding="utf-8"))
        Draft4Validator.check_schema(schema)
        parts = [schema["$defs"][each["$ref"].rsplit("/", 1)[-1]] for each in schema["allOf"]]
    except (OSError, ValueError, KeyError, SchemaError):
        return None
    known = {name for part in [schema, *parts] for name in part.get("properties", {})}
    return Draft4Validator(schema), frozenset(known | _OTHERS)


def problems(config: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """(where, what is wrong); secrets in the clear, whether or not there is a schema."""
    yield from _passwords(config)
    file = next((folder / SCHEMA for folder in FOLDERS if (folder / SCHEMA).is_file()), None)
    found = _validator(file) if file else None
    if found is None:
        return
    validator, known = found
    for name in config:
        if name not in known:
            yield (name,), "cloud-init knows no such key"
    for error in validator.iter_errors(config):
        # The message begins with the value, which may be a secret.
        problem = error.message.replace(repr(error.instance), "it")
        yield tuple(error.absolute_path), problem[:300]


def _passwords(config: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    clear = "a password in the clear; give its crypt(3) hash"
    if "password" in config and not is_password_hash(str(config["password"])):
        yield ("password",), clear
    users = config.get("users")
    for number, user in enumerate(users if isinstance(users, list) else []):
        given = user if isinstance(user, dict) else {}
        if "plain_text_passwd" in given:
            yield ("users", number, "plain_text_passwd"), clear
        for field in ("passwd", "hashed_passwd"):
            if field in given and not is_password_hash(str(given[field])) and given[field] != "!":
                yield ("users", number, field), clear
    changes = config.get("chpasswd")
    changes = changes if isinstance(changes, dict) else {}
    listed = changes.get("list", [])
    lines = listed.split("\n") if isinstance(listed, str) else listed
    for line in lines if isinstance(lines, list) else []:
        secret = str(line).partition(":")[2].strip()
        if secret and not is_password_hash(secret) and secret not in ("R", "RANDOM"):
            yield ("chpasswd", "list"), clear
    entries = changes.get("users")
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        if isinstance(entry, dict) and "password" in entry:
            secret = str(entry["password"])
            if entry.get("type", "hash") != "hash" or not is_password_hash(secret):
                yield ("chpasswd", "users", number), clear
