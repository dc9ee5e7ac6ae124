"""What is wrong with the settings of a power driver, in words for whoever wrote them."""

from __future__ import annotations

from typing import Any

import pytest

from deployer.errors import Invalid
from deployer.services import power
from tests.support.power import host

GOOD: dict[str, Any] = {
    "driver": "redfish", "url": "https://10.0.9.1", "username": "root", "password": {"secret": "a"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "field", "value", "words"),
    [
        ({"verify": {"fingerprint": "ab:cd"}}, "verify.fingerprint", "ab:cd", "64 hexadecimal"),
        ({"verify": {"ca": "x"}}, "verify.ca", "x", "PEM"),
        ({"verify": {"pin": "x"}}, "verify", None, "valid boolean"),
        ({"verify": "maybe"}, "verify", "maybe", "boolean"),
        ({"url": "http://10.0.9.1"}, "", None, "in the clear"),
        ({"url": "10.0.9.1"}, "url", "10.0.9.1", "must be https://ADDRESS"),
        ({"url": "https://a@10.0.9.1"}, "url", None, "without user"),
        ({"username": None}, "username", None, "string"),
        ({"system": "../1"}, "system", "../1", "pattern"),
        ({"password": "letmein99"}, "password", None, "`{secret: NAME}`"),
        ({"password": {"secret": "a b"}}, "password.secret", None, "must begin with a letter"),
        ({"password": {"secret": "a", "b": 1}}, "password.b", None, "not permitted"),
        ({"systm": "1"}, "systm", None, "correct its name"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_it_names_the_setting_its_value_and_the_rule(
    change: dict[str, Any], field: str, value: Any, words: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        power.check(host(**{**GOOD, **change}))
    told = refusal.value
    assert (told.field, told.value) == (f"power.{field}".rstrip("."), value)
    assert words in f"{told.message} {told.remedy}" and "letmein99" not in str(told.__dict__)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(Invalid) as refusal:
        power.check(host(driver="redfish", url="https://10.0.9.1", password={"secret": "a"}))
    assert refusal.value.field == "power.username" and "add it" in str(refusal.value.remedy)
