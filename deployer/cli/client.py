"""The API as seen by a client: bearer token, problems as exceptions, lists to their end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from deployer.cli.failures import ApiError, ConnectionLost, Unreachable
from deployer.errors import Invalid

Json = dict[str, Any]

_PAGE = 1000
_PAUSE_SECONDS = 1.0
# A proxy or a service that is just starting again answers with these.
_PASSING = {502, 503, 504}


class Client:
    """One server, one token. Paths are those below /api/v1."""

    def __init__(self, server: str, token: str, timeout: float = 30.0) -> None:
        self.server = server
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = httpx.URL(server)
        self._http = httpx.Client(
            base_url=f"{server}/api/v1", headers=headers, timeout=timeout,
            # A proxy from the environment would look for our loopback on itself.
            trust_env=url.host not in ("127.0.0.1", "localhost", "::1"),
            verify=url.scheme == "https",
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._http.close()

    def get(
        self, path: str, params: Mapping[str, Any] | None = None, patience: float = 0.0
    ) -> Json:
        """`patience`: for so many seconds, a server that does not answer is asked again."""
        until = time.monotonic() + patience
        while True:
            try:
                return self.send("GET", path, params=params)
            except (Unreachable, ApiError) as error:
                passing = isinstance(error, Unreachable) or error.status in _PASSING
                if not (passing and patience):
                    raise
                if time.monotonic() > until:
                    raise ConnectionLost(error.message, remedy=error.remedy) from None
            time.sleep(_PAUSE_SECONDS)

    def send(
        self, method: str, path: str, body: Any = None, *, params: Mapping[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Json:  # fmt: skip
        """One request; its JSON. ApiError and Unreachable are made to be shown to a person."""
        wanted = {k: v for k, v in (params or {}).items() if v is not None}
        try:
            answer = self._http.request(method, path, params=wanted, json=body, headers=headers)
        except httpx.TransportError as error:
            raise self._unreachable(error, method) from None
        if not answer.is_success:
            raise ApiError(answer.status_code, self._problem(answer))
        return self._json(answer) if answer.content else {}

    def items(self, path: str, params: Mapping[str, Any] | None = None) -> Iterator[Json]:
        """Every item of a list, page after page."""
        cursor: str | None = None
        while True:
            page = self.get(path, {"limit": _PAGE, **(params or {}), "cursor": cursor})
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def find(self, path: str) -> Json | None:
        """As `get`, but None when there is no such thing."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _unreachable(self, error: httpx.TransportError, method: str) -> Unreachable:
        late = isinstance(error, httpx.ReadTimeout | httpx.ReadError | httpx.RemoteProtocolError)
        unsure = "; what was asked may have been done" if late and method != "GET" else ""
        return Unreachable(
            f"no answer from {self.server}: {error or type(error).__name__}{unsure}",
            remedy="is `deployer serve` running there? Another server is chosen with"
            " DEPLOYER_SERVER=http://HOST:8080, or --server",
        )

    def _json(self, answer: httpx.Response) -> Json:
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise ApiError(answer.status_code, self._stranger(answer))
        return body

    def _problem(self, answer: httpx.Response) -> Json:
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict) or "detail" not in body:
            return self._stranger(answer)
        # The machine side says no more than this to anybody.
        if answer.status_code == 404 and "remedy" not in body:
            body["remedy"] = f"is {self.server} people's side of Deployer, usually port 8080?"
        return body

    def _stranger(self, answer: httpx.Response) -> Json:
        return {
            "detail": f"{self.server} answered {answer.status_code}, but not as Deployer does",
            "remedy": "does DEPLOYER_SERVER name a proxy, or another service?",
        }


def segment(name: str) -> str:
    """A name as one part of a path; Invalid when it cannot be a name of anything."""
    if name in ("", ".", "..") or "/" in name:
        raise Invalid(
            f"{name!r} is no name", field="name", value=name,
            remedy="`deployer hosts` and `deployer profiles` list the names",
        )  # fmt: skip
    return quote(name, safe="")
