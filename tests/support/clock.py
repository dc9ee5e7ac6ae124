"""Time as a value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """Stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        # A real clock never shows one moment twice, and ids sort by it.
        self.now += timedelta(milliseconds=1)
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)


class RealTime(Clock):
    """The computer's own clock, for tests with real processes and threads."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)
