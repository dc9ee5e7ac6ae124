"""One network with a real dnsmasq for many questions; each test module has its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.netboot import open_folder
from tests.support.netns import Segment


@pytest.fixture(scope="module")
def segment() -> Iterator[Segment]:
    with Segment(others=("client", "other")) as segment:
        yield segment


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder
