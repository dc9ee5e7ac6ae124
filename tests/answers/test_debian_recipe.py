"""partman's recipes out of any volumes: everything once, and the one that grows last."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from deployer.core.profiles import Storage
from tests import golden
from tests.answers import strategies

DEBIAN = golden.found("debian")
HOST = {"name": "web01", "macs": ["52:54:00:12:34:56"]}
often = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# doc/devel/partman-auto-recipe.txt of the installer: sizes, file system, then words with braces.
ENTRY = re.compile(r"(\d+) (\d+) (-?\d+) (\S+)((?: \\?\$?[a-z_]+\{ (?:\S+ )?\})*)")


def recipe(storage: dict[str, Any]) -> list[tuple[int, int, str, dict[str, str]]]:
    """(minimum, maximum, file system, words) of each entry, without what firmware needs."""
    snapshot = golden.snapshot(DEBIAN, HOST, {"name": "web", "storage": storage})
    files, findings = golden.rendered(DEBIAN, snapshot)
    assert findings == []
    (text,) = re.findall(r'^  recipe="(.*)"$', files["agent.sh"], re.MULTILINE)
    found = []
    for entry in text.removesuffix(" .").split(" . "):
        match = ENTRY.fullmatch(entry)
        assert match, entry
        words = re.findall(r"([a-z_]+)\{ (?:(\S+) )?\}", match[5])
        found.append((int(match[1]), int(match[3]), match[4], dict(words)))
    return found


@often
@given(strategies.VOLUMES, st.integers(0, 2**34), st.sampled_from(["plain", "lvm", "raid1"]))
@pytest.mark.slow
def test_every_volume_is_made_once(volumes: list[dict[str, Any]], swap: int, layout: str) -> None:
    storage = {"volumes": volumes, "swap": swap, "layout": layout}
    try:
        Storage.model_validate(storage)
    except ValidationError:
        assume(False)  # it is the description that is wrong
    made = [entry for entry in recipe(storage) if entry[3].get("mountpoint") != "/boot"]
    assert [most for _, most, _, _ in made].index(-1) == len(made) - 1, "only the last one grows"
    asked = {"/": "ext4", **{v["mount"]: v["fs"] for v in volumes}}
    assert len(made) == len(asked) + (swap >= 2**20)
    if layout == "raid1":
        assert {fs for _, _, fs, _ in made} == {"raid"}
        return
    seen = {words["mountpoint"]: fs for _, _, fs, words in made if "mountpoint" in words}
    assert seen == asked
    sizes = {words.get("mountpoint"): least for least, _, _, words in made}
    for volume in volumes:
        assert 0 <= volume["size"] - sizes[volume["mount"]] * 10**6 < 3 * 10**6
    names = [words.get("lv_name", "") for _, _, _, words in made]
    assert len(set(names)) == (len(names) if layout == "lvm" else 1)
