"""Every NIC that we know has an address of its own, and keeps it."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from deployer.netboot.addresses import Reservations, leases

FIRST, LAST = IPv4Address("10.0.0.100"), IPv4Address("10.0.0.199")
POOL = [(FIRST, LAST)]
macs = st.lists(st.integers(0, 500).map(lambda n: f"52:54:00:00:{n >> 8:02x}:{n & 255:02x}"))


@given(macs, macs)
def test_no_two_have_one_and_who_stays_keeps_its_own(before: list[str], after: list[str]) -> None:
    reserved = Reservations(POOL)
    reserved.renew(before, {})
    first = dict(reserved.given)
    reserved.renew(after, {})
    assert len(set(reserved.given.values())) == len(reserved.given) == min(len(set(after)), 80)
    assert all(FIRST <= address <= LAST for address in reserved.given.values())
    kept = set(first) & set(after)
    assert {mac: first[mac] for mac in kept} == {mac: reserved.given[mac] for mac in kept}


def test_a_lease_becomes_the_reservation_and_nobody_is_given_anothers() -> None:
    held = leases("1700000000 52:54:00:00:00:01 10.0.0.150 * ff:00\n"
                  "1700000000 52:54:00:00:00:ff 10.0.0.151 name *\nduid 00:01\n")  # fmt: skip
    reserved = Reservations(POOL, frozenset({IPv4Address("10.0.0.100")}))
    reserved.renew([f"52:54:00:00:00:{n:02x}" for n in range(1, 80)], held)
    assert reserved.given["52:54:00:00:00:01"] == IPv4Address("10.0.0.150")
    assert IPv4Address("10.0.0.151") not in reserved.given.values()
    assert IPv4Address("10.0.0.100") not in reserved.given.values()


def test_what_an_earlier_run_gave_stays_unless_its_range_is_gone() -> None:
    given = {"52:54:00:00:00:01": IPv4Address("10.0.0.140"),
             "52:54:00:00:00:02": IPv4Address("192.0.2.7")}  # fmt: skip
    reserved = Reservations(POOL, given=given)
    reserved.renew(given, {})
    assert reserved.given["52:54:00:00:00:01"] == IPv4Address("10.0.0.140")
    assert FIRST <= reserved.given["52:54:00:00:00:02"] <= LAST


def test_without_a_pool_nobody_has_one() -> None:
    reserved = Reservations([])
    reserved.renew(["52:54:00:00:00:01"], {})
    assert reserved.given == {}
