"""Media on web servers: a file that is fetched whole, or a folder, of which nothing is listed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import httpx

from deployer.core.sizes import show_size
from deployer.core.text import printable
from deployer.media.build.workshop import BuildError, Log
from deployer.media.vendors.contents import LARGEST, TEXT_LIMIT, by_file, check_room, decoded

_SECONDS = httpx.Timeout(60, connect=20)  # without a byte
_LONGEST = 12 * 3600  # for one file
_PIECE = 2**20
_TRY_AGAIN = "try again, or another mirror"


def shown(url: str) -> str:
    """Without what may be a secret: passwords and tokens stand in front of the host and at the
    end."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class WebFolder:
    """A `Source`, and what lies beside itself."""

    label = ""
    contents = None

    def __init__(self, base: str, place: str, log: Log) -> None:
        self._base, self.place = base, shown(place)
        self.name = unquote(urlsplit(base).path.rpartition("/")[2]) or "medium"
        self._log = log
        self._small: dict[str, bytes | None] = {}
        self._http = httpx.Client(timeout=_SECONDS, follow_redirects=True)

    def has(self, path: str) -> bool:
        if self._small.get(path) is not None:
            return True
        url = self._url(path)
        try:
            with self._http.stream("GET", url) as answer:
                return _found(answer)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _failed(url, error) from None

    def text(self, path: str) -> str | None:
        content = self.get(path)
        return None if content is None else decoded(content)

    def get(self, name: str) -> bytes | None:
        if name not in self._small:
            self._small[name] = self._fetched(self._url(name))
        return self._small[name]

    def lists(self) -> list[str]:
        return []

    def fetch(self, plan: Mapping[str, str], into: Path) -> None:
        for real, targets in by_file(plan, into).items():
            self.download(self._url(real), targets[0])
            for other in targets[1:]:
                other.hardlink_to(targets[0])

    def _url(self, path: str) -> str:
        return f"{self._base}/{quote(path)}"

    def _fetched(self, url: str) -> bytes | None:
        content = b""
        try:
            with self._http.stream("GET", url) as answer:
                if not _found(answer):
                    return None
                for piece in answer.iter_bytes(_PIECE):
                    content += piece
                    if len(content) > TEXT_LIMIT:
                        return None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _failed(url, error) from None
        return content

    def download(self, url: str, target: Path) -> None:
        """The whole file, or BuildError that names it."""
        until, what = time.monotonic() + _LONGEST, shown(url)
        try:
            with self._http.stream("GET", url) as answer, target.open("xb") as file:
                answer.raise_for_status()
                size = int(answer.headers.get("content-length", 0))
                check_room(target.parent, size, what)
                self._log(f"fetching {what}{f', {show_size(size)}' if size else ''}")
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
            raise _failed(url, error) from None


def _failed(url: str, error: Exception) -> BuildError:
    problem = str(error)
    if isinstance(error, httpx.HTTPStatusError):
        problem = f"{error.response.status_code} {error.response.reason_phrase}"
    return BuildError(f"{shown(url)}: {printable(problem)}", _TRY_AGAIN)


def _found(answer: httpx.Response) -> bool:
    if answer.status_code in (404, 403, 410):  # object storage calls a file that is not there 403
        return False
    answer.raise_for_status()
    return True
