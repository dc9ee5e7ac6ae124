"""Every error that we raise on purpose, each with the HTTP status it becomes.

The message is written for whoever reads it at three in the morning: what was asked, of which
host, what we saw instead; `remedy` says what to try. `field` and `value` name the bad input.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a file or a value, found before any machine is touched."""

    message: str
    remedy: str
    file: str | None = None
    line: int | None = None
    field: str | None = None
    value: Any = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class DeployerError(Exception):
    """Base of all our errors; carries what an RFC 9457 problem document needs."""

    status = 500
    title = "The service could not do this"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        value: Any = None,
        remedy: str | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.value = value
        self.remedy = remedy
        self.extra = extra


class Invalid(DeployerError):
    """The input breaks a rule; `findings` lists each one."""

    status = 422
    title = "The input is not valid"

    def __init__(self, message: str, *, findings: list[Finding] | None = None, **kw: Any) -> None:
        super().__init__(message, **kw)
        self.findings = findings or []


class Unauthorized(DeployerError):
    status = 401
    title = "Who are you?"


class Forbidden(DeployerError):
    status = 403
    title = "This is not allowed"


class NotFound(DeployerError):
    status = 404
    title = "No such thing"


class Conflict(DeployerError):
    status = 409
    title = "This conflicts with what is stored"


class TooLarge(DeployerError):
    status = 413
    title = "The body is too large"


class TooManyRequests(DeployerError):
    """One address asks more often than any machine does."""

    status = 429
    title = "Too many requests"
    retry_after = 3


class Unavailable(DeployerError):
    """Trying again in a moment may help."""

    status = 503
    title = "The service cannot answer just now"
    retry_after = 5


class ConfigurationError(DeployerError):
    """The service must not start like this."""

    title = "The configuration is wrong"


class DriverError(DeployerError):
    """A BMC, a chat, a receiver did not do as asked; trying again may help."""

    status = 502
    title = "What was asked of another system failed"


class DriverRefused(DriverError):
    """It said no; trying again will not help."""

    title = "Another system refused"


class BootMethodRefused(DriverRefused):
    """This way to boot is not to be had from this machine; another one may be."""

    title = "The machine cannot be booted this way"


class DriverUnclear(DriverError):
    """It may have been done, or not: nobody repeats it without looking first."""

    title = "Nobody knows whether it was done"
