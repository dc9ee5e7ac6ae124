"""Renders templates: strictly, in a sandbox, from plain data only.

A missing value is an error with file, line and name, never an empty string.
"""

from __future__ import annotations

import base64
import json
import shlex
import traceback
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import jinja2
from jinja2.filters import do_unique
from jinja2.sandbox import ImmutableSandboxedEnvironment

from deployer.answers.families import INSTALLERS, FoundFamily
from deployer.errors import Finding, Invalid

# The largest answer file that any installer here is known to accept in good time.
OUTPUT_LIMIT = 1024 * 1024
# What an expression in a template can end in.
_TEMPLATE_FAULTS = (
    jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError,
    ValueError,
)  # fmt: skip


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _as_xml(value: Any) -> str:
    return escape(str(value), {'"': "&quot;", "'": "&apos;"})


def _as_shell(value: Any) -> str:
    return shlex.quote(str(value))


def _as_base64(value: Any) -> str:
    return base64.b64encode(str(value).encode()).decode()


@jinja2.pass_environment
def _unique(
    env: jinja2.Environment, values: Iterable[Any], case_sensitive: bool = True,
    attribute: str | int | None = None,
) -> Iterator[Any]:  # fmt: skip
    """Jinja2's own, but for letters: packages, keys and kernel arguments differ by their case."""
    yield from do_unique(env, values, case_sensitive, attribute)


def environment(found: FoundFamily) -> jinja2.Environment:
    """Templates of one family; `json`, `xml`, `sh` and `b64` quote a value for their format, and so
    do the filters that installers bring."""
    return _environment(found.folders)


# Compiling costs ten times as much as rendering. A file that is changed is read again all the same.
@lru_cache(maxsize=64)
def _environment(folders: tuple[Path, ...]) -> jinja2.Environment:
    loader = jinja2.FileSystemLoader([str(folder) for folder in folders])
    env = ImmutableSandboxedEnvironment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters |= {"json": _as_json, "xml": _as_xml, "sh": _as_shell, "b64": _as_base64}
    env.filters["unique"] = _unique
    for installer in INSTALLERS.values():
        env.filters |= getattr(installer, "filters", {})
    return env


@cache
def plain_environment() -> jinja2.Environment:
    """For texts of an operator's that belong to no family; they can include nothing."""
    return ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)


def render_file(env: jinja2.Environment, name: str, context: dict[str, Any]) -> str:
    """The template as text; Invalid carries one finding with file and line."""
    return _render(lambda: env.get_template(name).render(context), name)


def render_string(
    env: jinja2.Environment, source: str, context: dict[str, Any], file: str, field: str
) -> str:
    """A one-line template out of a family.yaml."""
    try:
        return _render(lambda: _compiled(env, source).render(context), file)
    except Invalid as error:
        found = error.findings[0]
        finding = Finding(f"{field}: {found.message}", found.remedy, file=file, field=field)
        raise Invalid(finding.message, findings=[finding], remedy=found.remedy) from None


@lru_cache(maxsize=2048)
def _compiled(env: jinja2.Environment, source: str) -> jinja2.Template:
    return env.from_string(source)


def _render(render: Any, name: str) -> str:
    try:
        text: str = render()
    except jinja2.TemplateSyntaxError as error:
        raise _failed(error.message or "", error.name or name, error.lineno) from None
    except jinja2.TemplateNotFound as error:
        raise _failed(f"there is no template {error.name}", name, None) from None
    except _TEMPLATE_FAULTS as error:
        file, line = _template_position(error, name)
        raise _failed(str(error), file, line) from None
    if len(text) > OUTPUT_LIMIT:
        raise _failed(f"the result is larger than {OUTPUT_LIMIT} characters", name, None)
    return text


def _template_position(error: Exception, name: str) -> tuple[str, int | None]:
    """Jinja2 puts template lines into the traceback; the last one is where it went wrong."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.endswith(".j2"):
            return frame.filename.rsplit("/", 1)[-1], frame.lineno
    return name, None


def _failed(message: str, file: str, line: int | None) -> Invalid:
    remedy = "set the value in vars of profile, host or request, or correct the template"
    where = f"{file}, line {line}" if line else file
    finding = Finding(message, remedy, file=file, line=line)
    return Invalid(f"{where}: {message}", findings=[finding], remedy=remedy)
