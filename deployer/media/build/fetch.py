"""Files of web servers, fetched whole."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from deployer.core.sizes import show_size
from deployer.core.text import printable
from deployer.media.build.workshop import LARGEST, BuildError, Log, check_room

_SECONDS = httpx.Timeout(60, connect=20)  # without a byte
_LONGEST = 12 * 3600  # for one file
_PIECE = 2**20
_TRY_AGAIN = "try again, or another mirror"


def client() -> httpx.Client:
    return httpx.Client(timeout=_SECONDS, follow_redirects=True)


def shown(url: str) -> str:
    """Without what may be a secret: passwords and tokens stand in front of the host and at the
    end."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def download(http: httpx.Client, url: str, target: Path, log: Log) -> None:
    """The whole file, which is a new one, or BuildError that names it."""
    until, what = time.monotonic() + _LONGEST, shown(url)
    try:
        with http.stream("GET", url) as answer, target.open("xb") as file:
            answer.raise_for_status()
            size = int(answer.headers.get("content-length", 0))
            check_room(target.parent, size, what)
            log(f"fetching {what}{f', {show_size(size)}' if size else ''}")
            got = 0
            for piece in answer.iter_bytes(_PIECE):
                got += len(piece)
                if got > LARGEST or time.monotonic() > until:
                    raise BuildError(
                        f"{what} is larger than {show_size(LARGEST)}, or comes too slowly",
                        "fetch it by hand, and name the file",
                    )
                file.write(piece)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise failed(url, error) from None


def failed(url: str, error: Exception) -> BuildError:
    problem = str(error)
    if isinstance(error, httpx.HTTPStatusError):
        problem = f"{error.response.status_code} {error.response.reason_phrase}"
    return BuildError(f"{shown(url)}: {printable(problem)}", _TRY_AGAIN)
