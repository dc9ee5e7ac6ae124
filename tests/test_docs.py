"""What the documentation says is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deployer.web import operators
from lab import docs

PAGES = docs.pages()
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@every_page
def test_generated_parts_are_current(page: Path) -> None:
    """Otherwise: `make golden`."""
    text = page.read_text(encoding="utf-8")
    assert text == docs.with_current_blocks(text)


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_the_page_on_the_api_names_every_call_and_no_other() -> None:
    text = (docs.ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    table = " ".join(line for line in text.splitlines() if line.startswith("| `"))
    for route in operators.router.routes:
        path = str(getattr(route, "path", "")).removeprefix("/api/v1").replace("{id_}", "{id}")
        assert any(part in table for part in (path, f".../{path.rsplit('/', 1)[-1]}")), path


@every_page
def test_commands_for_make_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (docs.ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = set(re.findall(r"`make ([a-z0-9-]+)", page.read_text(encoding="utf-8")))
    assert asked <= targets
