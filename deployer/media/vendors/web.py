"""Media on web servers: a file that is fetched whole, or a folder, of which nothing is listed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import httpx

from deployer.media.build.fetch import client, download, failed, shown
from deployer.media.build.workshop import Log
from deployer.media.vendors.contents import TEXT_LIMIT, by_file, decoded

_PIECE = 2**20


class WebFolder:
    """A `Source`, and what lies beside itself."""

    label = ""
    contents = None

    def __init__(self, base: str, place: str, log: Log) -> None:
        self._base, self.place = base, shown(place)
        self.name = unquote(urlsplit(base).path.rpartition("/")[2]) or "medium"
        self._log = log
        self._small: dict[str, bytes | None] = {}
        self._http = client()

    def has(self, path: str) -> bool:
        if self._small.get(path) is not None:
            return True
        url = self._url(path)
        try:
            with self._http.stream("GET", url) as answer:
                return _found(answer)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise failed(url, error) from None

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
            download(self._http, self._url(real), targets[0], self._log)
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
            raise failed(url, error) from None
        return content


def _found(answer: httpx.Response) -> bool:
    if answer.status_code in (404, 403, 410):  # object storage calls a file that is not there 403
        return False
    answer.raise_for_status()
    return True
