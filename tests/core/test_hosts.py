"""One machine has one spelling, whoever wrote it down."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.core.hosts import canonical_mac, canonical_uuid, comparable_serial, same_uuid

UUID = "4c4c4544-0044-4810-8058-c4c04f4b3232"
SWAPPED = "44454c4c-4400-1048-8058-c4c04f4b3232"  # the same bytes, first three fields turned


@pytest.mark.parametrize(
    "text",
    [
        "52:54:00:ab:cd:ef", "52-54-00-ab-cd-ef", "52:54:00:AB:CD:EF", "52-54-00-AB-CD-EF",
        "5254.00ab.cdef", "525400abcdef", "525400ABCDEF",
    ],
)  # fmt: skip
def test_every_usual_spelling_of_a_mac_is_the_same(text: str) -> None:
    assert canonical_mac(text) == "52:54:00:ab:cd:ef"


@pytest.mark.parametrize(
    "text",
    [
        "", "52:54:00:ab:cd", "52:54:00:ab:cd:ef\n", " 52:54:00:ab:cd:ef", "52:54:00:ab:cd:eg",
        "52:54:00:ff:fe:ab:cd:ef", "80:00:02:08:fe:80:00:00:00:00:00:00:52:54:00:ab:cd:ef:00:01",
        "５２:54:00:ab:cd:ef", "52:54:00:ab:cd:ef'", "0x525400abcdef", None, 525400123456, ["52"],
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_mac_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match="such as 52:54:00:12:34:56"):
        canonical_mac(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("00:00:00:00:00:00", "all zeros"),
        ("ff:ff:ff:ff:ff:ff", "multicast"),
        ("01:00:5e:00:00:01", "multicast"),
    ],
)
def test_an_address_that_no_nic_can_have_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        canonical_mac(text)


@given(st.binary(min_size=6, max_size=6).filter(lambda b: any(b) and not b[0] & 1))
def test_a_canonical_mac_stays_as_it_is_in_every_spelling(raw: bytes) -> None:
    canonical = raw.hex(":")
    for text in (canonical, raw.hex("-").upper(), raw.hex(), f"{raw.hex('.', 2)}"):
        assert canonical_mac(text) == canonical


def test_a_uuid_is_lower_case_with_dashes() -> None:
    assert canonical_uuid(UUID.upper()) == UUID


@pytest.mark.parametrize(
    "text",
    [
        "", UUID + "\n", UUID.replace("-", ""), "{" + UUID + "}", "urn:" + UUID.replace("-", ""),
        "----" + UUID.replace("-", ""), "４" + UUID[1:], "4_" + UUID[2:], " " + UUID[1:],
        "Not Settable", None, 7,
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_uuid_is_refused_with_its_source(text: object) -> None:
    with pytest.raises(ValueError, match="dmidecode -s system-uuid"):
        canonical_uuid(text)


@pytest.mark.parametrize("digit", ["0", "f", "F"])
def test_a_placeholder_uuid_is_refused(digit: str) -> None:
    with pytest.raises(ValueError, match="placeholder"):
        canonical_uuid(UUID.translate({ord(c): digit for c in "0123456789abcdef"}))


@pytest.mark.parametrize(
    ("known", "shown", "same"),
    [
        (UUID, UUID, True),
        (UUID, UUID.upper(), True),
        (UUID, SWAPPED, True),
        (SWAPPED, UUID, True),
        (UUID, "4c4c4544-0044-4810-8058-c4c04f4b3233", False),
        (UUID, "", False),
        (UUID, "Not Settable", False),
    ],
)
def test_byte_order_does_not_make_another_machine(known: str, shown: str, same: bool) -> None:
    assert same_uuid(known, shown) is same


@given(st.uuids(), st.uuids())
def test_two_uuids_are_the_same_only_as_they_are_or_turned(a: uuid.UUID, b: uuid.UUID) -> None:
    turned = uuid.UUID(bytes_le=a.bytes)
    assert same_uuid(str(a), str(a)) and same_uuid(str(a), str(turned))
    assert same_uuid(str(a), str(b)) == (b in (a, turned))


@pytest.mark.parametrize(
    ("text", "comparable"),
    [
        ("CN7016", "cn7016"), ("  cn7016 ", "cn7016"), ("A B", "a b"), (None, None), ("", None),
        ("None", None), ("Not Specified", None), ("To Be Filled By O.E.M.", None),
        ("Default string", None), ("0", None),
    ],
    ids=repr,
)  # fmt: skip
def test_a_serial_is_compared_without_case_blanks_and_placeholders(
    text: str | None, comparable: str | None
) -> None:
    assert comparable_serial(text) == comparable
