"""Times as people write them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from deployer.core.durations import Duration

KIND: TypeAdapter[timedelta] = TypeAdapter(Duration)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10min", 600), ("1.5 h", 5400), ("2d", 172_800), (30, 30), (0.5, 0.5), (0, 0)],
)
def test_a_time_has_its_unit(text: Any, seconds: float) -> None:
    assert KIND.validate_python(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "soon", "10", "10m", "-5s", "1h30", "5 years", True, None])
def test_what_is_no_time_is_told_how_to_write_one(text: Any) -> None:
    with pytest.raises(ValidationError, match="a time such as 90s"):
        KIND.validate_python(text)


@pytest.mark.parametrize("text", ["32d", -1, 1e9])
def test_nobody_waits_for_longer_than_a_month_or_for_less_than_nothing(text: Any) -> None:
    with pytest.raises(ValidationError, match="than or equal to"):
        KIND.validate_python(text)
