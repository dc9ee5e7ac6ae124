"""Which disk is installed: exactly one that fits, or none and the reason for each."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from deployer.core.disks import Disk, DiskRule, NoDisk, choose

G = 10**9


def disk(name: str, size: int, **facts: Any) -> Disk:
    return Disk(name=name, path=f"/dev/{name}", size=size, **facts)


SMALL = disk("sda", 8 * G, serial="S-1", wwn="0x5000c5", model="ACME Fast SSD", type="ssd")
LARGE = disk("sdb", 900 * G, serial="S-2", wwn="0x5000c6", model="ACME Slow", type="hdd")
NVME = disk("nvme0n1", 500 * G, serial="N-1", model="Quick", type="nvme")
STICK = disk("sdc", 16 * G, serial="U-1", removable=True)
CD = disk("sr0", 4 * G, read_only=True)
ALL = [SMALL, LARGE, NVME, STICK, CD]


@pytest.mark.parametrize(
    ("rule", "chosen"),
    [
        ({"serial": "S-1"}, SMALL),
        ({"serial": " s-1 "}, SMALL),
        ({"wwn": "0x5000C6"}, LARGE),
        ({"model": "fast"}, SMALL),
        ({"model": "Quick"}, NVME),
        ({"path": "/dev/sdb"}, LARGE),
        ({"path": "sdb"}, LARGE),
        ({"type": "nvme"}, NVME),
        ({"min_size": "600G"}, LARGE),
        ({"max_size": "10G"}, SMALL),
        ({"min_size": "100G", "max_size": "500G"}, NVME),
        ({"pick": "smallest"}, SMALL),
        ({"pick": "largest"}, LARGE),
        ({"pick": "smallest", "min_size": "9G"}, NVME),
        ({"model": "acme", "type": "hdd"}, LARGE),
    ],
    ids=str,
)
def test_a_rule_means_one_disk(rule: dict[str, Any], chosen: Disk) -> None:
    assert choose(DiskRule.model_validate(rule), ALL) == [chosen]


@pytest.mark.parametrize(
    ("rule", "needed", "message"),
    [
        (
            {}, 0,
            "3 disks fit the rule (pick: only). Seen: /dev/sda 8.0 GB serial S-1 ACME Fast SSD"
            " (fits); /dev/sdb 900.0 GB serial S-2 ACME Slow (fits); /dev/nvme0n1 500.0 GB serial"
            " N-1 Quick (fits); /dev/sdc 16.0 GB serial U-1 (removable); /dev/sr0 4.0 GB"
            " (read-only). Name one by serial or size",
        ),
        (
            {"serial": "X"}, 0,
            "no disk fits the rule (serial: X, pick: only). Seen: /dev/sda 8.0 GB serial S-1 ACME"
            " Fast SSD (its serial is S-1); /dev/sdb 900.0 GB serial S-2 ACME Slow (its serial is"
            " S-2); /dev/nvme0n1 500.0 GB serial N-1 Quick (its serial is N-1); /dev/sdc 16.0 GB"
            " serial U-1 (removable); /dev/sr0 4.0 GB (read-only)."
            " Correct storage.disk in the profile",
        ),
        (
            {"type": "ssd"}, 10 * G,
            "no disk fits the rule (type: ssd, pick: only). Seen: /dev/sda 8.0 GB serial S-1 ACME"
            " Fast SSD (8000000000 bytes, smaller than 10.0 GB (10000000000 bytes));"
            " /dev/sdb 900.0 GB serial S-2 ACME Slow (its type is hdd);"
            " /dev/nvme0n1 500.0 GB serial N-1 Quick (its type is nvme); /dev/sdc 16.0 GB"
            " serial U-1 (removable); /dev/sr0 4.0 GB (read-only)."
            " Correct storage.disk in the profile",
        ),
        (
            {"wwn": "0x9", "max_size": "1T"}, 0,
            "no disk fits the rule (wwn: 0x9, max_size: 1.0 TB, pick: only). Seen: /dev/sda 8.0 GB"
            " serial S-1 ACME Fast SSD (its WWN is 0x5000c5); /dev/sdb 900.0 GB serial S-2 ACME"
            " Slow (its WWN is 0x5000c6); /dev/nvme0n1 500.0 GB serial N-1 Quick (its WWN is"
            " unknown); /dev/sdc 16.0 GB serial U-1 (removable); /dev/sr0 4.0 GB (read-only)."
            " Correct storage.disk in the profile",
        ),
    ],
    ids=["several", "no serial", "too small for the image", "no wwn"],
)  # fmt: skip
def test_without_one_single_disk_every_disk_is_named_with_its_reason(
    rule: dict[str, Any], needed: int, message: str
) -> None:
    with pytest.raises(NoDisk) as refusal:
        choose(DiskRule.model_validate(rule), ALL, needed)
    assert str(refusal.value) == message


def test_a_machine_without_disks_is_told_so() -> None:
    with pytest.raises(NoDisk, match="Seen: no disk at all"):
        choose(DiskRule(), [])


@pytest.mark.parametrize("pick", ["smallest", "largest", "only"])
def test_of_two_disks_alike_none_is_chosen(pick: Any) -> None:
    twins = [disk("sda", 8 * G, serial="A"), disk("sdb", 8 * G, serial="B")]
    with pytest.raises(NoDisk, match="2 disks fit"):
        choose(DiskRule(pick=pick), twins)


def test_a_tie_among_the_others_does_not_matter() -> None:
    twins = [disk("sdb", 9 * G), disk("sdc", 9 * G)]
    assert choose(DiskRule(pick="smallest"), [SMALL, *twins]) == [SMALL]


@pytest.mark.parametrize(
    ("rule", "chosen"),
    [
        ({}, [SMALL, LARGE, NVME]),
        ({"model": "acme"}, [SMALL, LARGE]),
        ({"serial": ["s-2", "N-1"]}, [LARGE, NVME]),
        ({"wwn": ["0x5000c5"]}, [SMALL]),
    ],
    ids=str,
)
def test_all_means_every_disk_that_fits_and_is_built_in(
    rule: dict[str, Any], chosen: list[Disk]
) -> None:
    assert choose(DiskRule.model_validate({**rule, "pick": "all"}), ALL) == chosen


def test_a_disk_of_several_by_name_that_is_missing_stops_all() -> None:
    """It may have failed, and hold what was to be wiped."""
    with pytest.raises(NoDisk) as refusal:
        choose(DiskRule(serial=["S-1", "GONE", "U-1"], pick="all"), [SMALL, STICK])
    assert str(refusal.value) == (
        "no disk has serial GONE and none has serial U-1, by the rule (serial: ['S-1', 'GONE',"
        " 'U-1'], pick: all). Seen: /dev/sda 8.0 GB serial S-1 ACME Fast SSD (fits); /dev/sdc 16.0"
        " GB serial U-1 (removable). Correct storage.disk in the profile, or look whether a disk"
        " has failed"
    )


@pytest.mark.parametrize("disks", [[], [STICK], [CD]])
def test_all_of_none_is_nothing(disks: list[Disk]) -> None:
    with pytest.raises(NoDisk, match="no disk fits"):
        choose(DiskRule(pick="all"), disks)


def test_all_disks_are_never_two_paths_to_one() -> None:
    paths = [disk("sda", 8 * G, wwn="0x5"), disk("sdb", 8 * G, wwn="0x5")]
    with pytest.raises(NoDisk, match="two paths"):
        choose(DiskRule(pick="all"), paths)


@pytest.mark.parametrize("wwns", [("0x5000c5", "0x5000c5"), ("0x5000C5", "0x5000c5")])
def test_two_paths_to_one_disk_are_one_disk_too_many(wwns: tuple[str, str]) -> None:
    paths = [disk("sda", 8 * G, wwn=wwns[0]), disk("sdb", 9 * G, wwn=wwns[1])]
    with pytest.raises(NoDisk) as refusal:
        choose(DiskRule(pick="smallest"), paths)
    assert str(refusal.value) == (
        "two paths lead to one disk (same WWN): /dev/sda 8.0 GB; /dev/sdb 9.0 GB. Multipath disks"
        " are not written to; unplug one path or name another disk"
    )


@pytest.mark.parametrize("field", ["serial", "wwn", "model", "path"])
def test_an_empty_condition_is_refused_and_does_not_mean_every_disk(field: str) -> None:
    with pytest.raises(ValidationError):
        DiskRule.model_validate({field: ""})


def test_the_words_tell_a_disk_that_is_a_little_too_small_from_what_was_asked() -> None:
    with pytest.raises(NoDisk) as refusal:
        choose(DiskRule.model_validate({"min_size": 8 * G}), [disk("sda", 8 * G - 4096)])
    assert "8.0 GB (smaller than 8.0 GB)" not in str(refusal.value)


# --- layouts on several disks ------------------------------------------------------------------


PAIR = [disk("sdb", 9 * G, serial="B"), disk("sdc", 9 * G, serial="C")]


@pytest.mark.parametrize(
    "rule",
    [{"min_size": 9 * G, "max_size": 9 * G}, {"serial": ["C", "b"]}, {"pick": "largest"}],
    ids=str,
)
def test_a_mirror_gets_two_disks_in_the_order_of_the_report(rule: dict[str, Any]) -> None:
    small = disk("sda", 8 * G, serial="A")
    assert choose(DiskRule.model_validate(rule), [small, *PAIR], 0, 2) == PAIR


@pytest.mark.parametrize(
    ("rule", "disks", "message"),
    [
        (
            {"serial": ["B", "Z"]},
            PAIR,
            "1 disk fits, and 2 are needed, the rule (serial: ['B', 'Z'], pick: only)",
        ),
        ({"pick": "smallest"}, [*PAIR, disk("sdd", 9 * G)], "3 disks fit, and 2 are needed,"),
        ({}, [PAIR[0], disk("sdd", 8 * G)], "disks of different sizes fit the rule"),
        ({"type": "nvme"}, PAIR, "no disk fits the rule"),
    ],
    ids=["one missing", "a third alike", "two sizes", "none"],
)
def test_a_mirror_without_two_disks_alike_is_refused(
    rule: dict[str, Any], disks: list[Disk], message: str
) -> None:
    with pytest.raises(NoDisk) as refusal:
        choose(DiskRule.model_validate(rule), disks, 0, 2)
    assert str(refusal.value).startswith(message)


# --- whatever is reported ---------------------------------------------------------------------

WORDS = st.none() | st.sampled_from(["A", "b", "ACME", "acme x"])
SIZES = st.integers(0, 5) | st.integers(0, 2**63)
DISKS = st.builds(
    Disk,
    name=st.sampled_from(["sda", "sdb", "sdc", "nvme0n1"]),
    path=st.sampled_from(["/dev/sda", "/dev/sdb", "/dev/sdc", "/dev/nvme0n1"]),
    size=SIZES, serial=WORDS, wwn=WORDS, model=WORDS,
    type=st.sampled_from([None, "hdd", "ssd", "nvme"]),
    removable=st.booleans(), read_only=st.booleans(),
)  # fmt: skip
RULES = st.builds(
    DiskRule,
    serial=WORDS, wwn=WORDS, model=WORDS, path=st.sampled_from([None, "sda", "/dev/sdb"]),
    min_size=st.none() | SIZES, max_size=st.none() | SIZES,
    type=st.sampled_from([None, None, "ssd"]),
    pick=st.sampled_from(["smallest", "largest", "only"]),
)  # fmt: skip


def holds(rule: DiskRule, disk: Disk, needed: int) -> bool:
    """The rule once more, as a list of conditions."""

    def same(wanted: str | None, found: str | None) -> bool:
        return wanted is None or wanted.lower() == (found or "").lower()

    return all(
        [
            not disk.removable,
            not disk.read_only,
            same(rule.serial, disk.serial),
            same(rule.wwn, disk.wwn),
            rule.model is None or rule.model.lower() in (disk.model or "").lower(),
            rule.path in (None, disk.path, disk.name),
            rule.type in (None, disk.type),
            disk.size >= needed,
            rule.min_size is None or disk.size >= rule.min_size,
            rule.max_size is None or disk.size <= rule.max_size,
        ]
    )


def outcome(rule: DiskRule, disks: list[Disk], needed: int) -> Disk | None:
    try:
        return choose(rule, disks, needed)[0]
    except NoDisk as refusal:
        assert all(disk.path in str(refusal) for disk in disks) or "two paths" in str(refusal)
        return None


@given(RULES, st.lists(DISKS, max_size=5), SIZES)
@example(DiskRule(pick="smallest"), [disk("sda", 5, read_only=True), disk("sda", 9)], 0)
def test_a_disk_that_breaks_a_condition_is_never_chosen(
    rule: DiskRule, disks: list[Disk], needed: int
) -> None:
    chosen = outcome(rule, disks, needed)
    assert chosen is None or (chosen in disks and holds(rule, chosen, needed))


@pytest.mark.slow
@given(RULES, st.lists(DISKS, max_size=5), SIZES)
def test_of_several_that_fit_only_picks_none(
    rule: DiskRule, disks: list[Disk], needed: int
) -> None:
    rule = rule.model_copy(update={"pick": "only"})
    fitting = [disk for disk in disks if holds(rule, disk, needed)]
    assert (outcome(rule, disks, needed) is not None) == (len(fitting) == 1)


@given(RULES, st.permutations(ALL))
def test_the_order_of_the_report_does_not_matter(rule: DiskRule, disks: list[Disk]) -> None:
    assert outcome(rule, disks, 0) is outcome(rule, ALL, 0)
