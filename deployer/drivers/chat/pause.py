"""Between two tries of those who ask a platform themselves: longer each time, and soon over when
they are told to stop."""

from __future__ import annotations

import time
from collections.abc import Callable

from deployer.drivers.chat.base import Busy
from deployer.errors import DriverError

_FIRST, _LONGEST, _LOOK = 1.0, 60.0, 0.2  # seconds


class Pause:
    """`stop` ends every rest."""

    def __init__(self, stop: Callable[[], bool]) -> None:
        self.stop, self.next = stop, _FIRST

    def is_over(self) -> None:
        """It went well: the next pause is a short one again."""
        self.next = _FIRST

    def after(self, error: DriverError) -> None:
        """As long as the platform says, or longer than the last time."""
        seconds = error.wait.total_seconds() if isinstance(error, Busy) else self.next
        self.next = min(self.next * 2, _LONGEST)
        rest(seconds, self.stop)


def rest(seconds: float, stop: Callable[[], bool]) -> None:
    """That long, or until `stop()`."""
    until = time.monotonic() + seconds
    while not stop() and time.monotonic() < until:
        time.sleep(min(_LOOK, max(0.0, until - time.monotonic())))
