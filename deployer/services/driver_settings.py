"""Settings that operators write for a driver, judged by the driver's own model."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from deployer.core.text import masks_in
from deployer.errors import Invalid


def check(driver: Any, given: dict[str, Any], place: str, what: str, page: str) -> Any:
    """As `driver.Settings`; Invalid names the setting that is wrong, as `place`.NAME.

    `what` a driver is of, "power driver", and the `page` with an example of each are for the
    message. No secret is looked up: settings may be written before their secrets are.
    """
    try:
        return driver.Settings.model_validate(given)
    except ValidationError as error:
        problem = min(error.errors(), key=lambda each: _rank(each, given))
        field = ".".join([place, *map(str, _place(problem, given))])
        rule = problem["msg"].removeprefix("Value error, ")
        raise Invalid(
            f"{field}: {rule} ({what} {driver.name})", field=field, value=_harmless(problem),
            remedy=_REMEDIES.get(problem["type"], "correct this setting")
            + f"; {page} has an example for {driver.name}",
        ) from None  # fmt: skip


def refuse_masks(given: Any, place: str) -> None:
    """Invalid where the mask stands that we showed: it must not become the secret."""
    for found in masks_in(given):
        field = ".".join([place, *map(str, found)])
        raise Invalid(
            f"{field} is the mask that we showed, not the secret", field=field,
            remedy=f"write the secret itself, or leave `{place}` out of the change",
        )  # fmt: skip


_REMEDIES = {
    "extra_forbidden": "remove it, or correct its name",
    "missing": "add it",
    "model_type": "write `{secret: NAME}`, and give its value to `deployer secret set NAME`",
}


def _rank(problem: Any, given: dict[str, Any]) -> tuple[bool, int]:
    """Of what is wrong with a value that may have one form or another, the closest comes first."""
    return problem["type"] in ("extra_forbidden", "missing"), -len(_place(problem, given))


def _place(problem: Any, given: Any) -> list[str | int]:
    """Where the bad setting is in what was given, without the names of forms that were tried."""
    place: list[str | int] = []
    for part in problem["loc"]:
        try:
            given = given[part]
        except (LookupError, TypeError):
            continue
        place.append(part)
    return place + list(problem["loc"][-1:]) if problem["type"] == "missing" else place


def _harmless(problem: Any) -> Any:
    """The bad value as an error may repeat it: nothing that may hold a secret."""
    value, place = problem["input"], ".".join(map(str, problem["loc"])).lower()
    secret = any(word in place for word in ("pass", "secret", "token"))
    unknown = problem["type"] in _REMEDIES or not isinstance(value, str | int | float)
    return None if secret or unknown or "@" in str(value) else value
