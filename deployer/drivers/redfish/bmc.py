"""A conversation with a BMC: logs in, reads and changes resources, believes little (T074)."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from deployer.core.text import MASK, printable
from deployer.drivers import http
from deployer.drivers.redfish import said
from deployer.drivers.redfish.said import Resource
from deployer.errors import BootMethodRefused, DriverError, DriverRefused, DriverUnclear

ROOT = "/redfish/v1/"
_REDIRECTS = 3
_MEMBERS = 64
# Later, they may not say so any more.
_BUSY = {408, 409, 423, 425, 429, 500, 502, 503, 504}
# Names of messages (DSP0268 and vendors' own) that mean the same.
_PASSING = re.compile(r"SystemPOST|ResourceInUse|Temporarily|InProgress|UnknownState|TryAgain|Busy")
# A fault that a BMC does not explain, or a proxy's, may have come after the deed.
_WITHOUT_A_WORD = {500, 502, 504}


@dataclass(frozen=True)
class Account:
    username: str
    password: str


class Bmc:
    """Context manager around one act. Every path is one of this BMC's own, below /redfish/."""

    def __init__(self, client: http.Client, account: Account) -> None:
        self._client, self._account = client, account
        self._auth: dict[str, str] = {}
        self._session: str | None = None
        self.root: Resource = {}

    def __enter__(self) -> Bmc:
        self._client.__enter__()
        try:
            self._log_in()
        except BaseException:
            self._client.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._session:  # BMCs have few sessions, and keep forgotten ones for half an hour
                self._client.request("DELETE", self._session, headers=self._auth)
        except DriverError:
            pass
        finally:
            self._client.__exit__()

    # --- logging in ---------------------------------------------------------------------------

    def _log_in(self) -> None:
        """A session, or Basic where there are none, or all are taken."""
        basic = {"Authorization": "Basic " + _basic(self._account)}
        reply = self._ask("GET", ROOT)  # needs no login (DSP0266, 13.3.1), as a rule
        if reply.status == 401:
            self._auth = basic
            reply = self._ask("GET", ROOT)
        self.root = self._resource(reply, ROOT)
        self._auth = basic
        links = self.root.get("Links")
        sessions = said.link(links, "Sessions") if isinstance(links, dict) else None
        if sessions is None:
            return
        body = {"UserName": self._account.username, "Password": self._account.password}
        reply = self._ask("POST", sessions, body, auth=False)
        if reply.status in (401, 403):
            raise self.error_of(reply, "POST", "the login")
        token = reply.headers.get("x-auth-token", "")
        if reply.status in (200, 201) and re.fullmatch(r"[!-~]{1,4096}", token):
            self._auth = {"X-Auth-Token": token}
            self._session = self._own_path(reply.headers.get("location", ""))

    def _own_path(self, location: str) -> str | None:
        """`location` without our origin; None when it leads elsewhere."""
        path = location.removeprefix(self._client.origin)
        return path if said.is_link(path) else None

    # --- resources ----------------------------------------------------------------------------

    def get(self, path: str) -> Resource:
        """A resource, with the ETag header under `@odata.etag` when there is one."""
        return self._resource(self._ask("GET", path), path)

    def _resource(self, reply: http.Reply, path: str) -> Resource:
        for _ in range(_REDIRECTS):
            if reply.status not in (301, 302, 307, 308):
                break
            reply = self._ask("GET", self._follow(path, reply))
        if reply.status != 200:
            raise self.error_of(reply, "GET", path)
        found = self._parsed(reply.body, path)
        if etag := reply.headers.get("etag"):
            found["@odata.etag"] = etag
        return {**found, "@odata.id": path}  # as it is reached, whatever it calls itself

    def _follow(self, path: str, reply: http.Reply) -> str:
        location = reply.headers.get("location", "")
        own = self._own_path(location)
        if own is None:
            raise DriverRefused(
                f"{self._client.origin} wants to send us elsewhere: {path} leads to"
                f" {printable(location, 200)!r}",
                remedy="give the URL at which the BMC itself answers, with https",
            )
        return own

    def members(self, path: str) -> Iterator[Resource]:
        """The resources of a collection, one by one."""
        for at in self.links(path):
            yield self.get(at)

    def links(self, path: str) -> list[str]:
        """Paths of a collection's members, at most 64, over its pages."""
        found: list[str] = []
        page: str | None = path
        while page is not None and len(found) < _MEMBERS:
            collection = self.get(page)
            given = collection.get("Members")
            for member in given if isinstance(given, list) else []:
                if at := said.link({"member": member}, "member"):
                    found.append(at)
            after = collection.get("Members@odata.nextLink")
            page = said.checked(after) if after else None
        return found[:_MEMBERS]

    def patch(self, path: str, body: Resource) -> http.Reply:
        """Change a resource as it is now: If-Match with its ETag, where it has one.

        The reply with a status of 400 is returned: its caller may know another way to say it.
        """
        for condition in _CONDITIONS:
            etag = self.get(path).get("@odata.etag")
            wanted = condition(etag if isinstance(etag, str) else None)
            reply = self._ask("PATCH", path, body, {"If-Match": wanted} if wanted else {})
            if reply.status not in (412, 428):
                break
        if reply.status != 400 and reply.status >= 300:
            raise self.error_of(reply, "PATCH", path)
        return reply

    def post(self, path: str, body: Resource, *, once: bool = False) -> http.Reply:
        """Carry out an action; a status of 400 is returned. `once`: as in `Client.request`."""
        reply = self._ask("POST", path, body, once=once)
        if once and reply.status in _WITHOUT_A_WORD and not self.words(reply):
            raise DriverUnclear(
                f"{self._client.origin}: POST {path}: {reply.status}, without a word"
            )
        if reply.status != 400 and reply.status >= 300:
            raise self.error_of(reply, "POST", path)
        return reply

    def pause(self, seconds: float) -> bool:
        """Wait a little; False when there is no time left for that."""
        if self._client.seconds_left < 2 * seconds:
            return False
        time.sleep(seconds)
        return True

    # --- requests -----------------------------------------------------------------------------

    def _ask(
        self, method: str, path: str, body: Resource | None = None,
        headers: dict[str, str] | None = None, *, auth: bool = True, once: bool = False,
    ) -> http.Reply:  # fmt: skip
        given = {"OData-Version": "4.0", **(headers or {}), **(self._auth if auth else {})}
        content = json.dumps(body).encode() if body is not None else b""
        return self._client.request(method, path, headers=given, body=content, once=once)

    def _parsed(self, body: bytes, path: str) -> Resource:
        found = said.parsed(body)
        if not isinstance(found, dict):
            raise DriverError(
                f"{self._client.origin} answers {path} with something that is no JSON object",
                remedy="is it a BMC with Redfish? Its firmware may be too old, or just starting",
            )
        return found

    def error_of(self, reply: http.Reply, method: str, path: str) -> DriverError:
        """The error that a status means; never with the BMC's words beyond its own messages."""
        message = f"{self._client.origin}: {method} {path}: {reply.status}"
        if words := self.words(reply):
            message += f", {words}"
        if reply.status in (401, 403):
            return DriverRefused(
                f"{message} for the user {self._account.username}", field="power.password",
                remedy="correct user name and secret (`deployer secret set`), or what the BMC lets"
                " this user do",
            )  # fmt: skip
        passing = any(_PASSING.search(name) for name, _ in said.messages(reply))
        if reply.status in _BUSY or passing:
            error = DriverError(message, remedy="the BMC may be starting or busy")
            if re.fullmatch("[0-9]{1,5}", wait := reply.headers.get("retry-after", "")):
                error.extra["retry_after"] = int(wait)
            return error
        return DriverRefused(message, remedy="see what the BMC's own page says of this machine")

    def refusal_of(self, reply: http.Reply, method: str, path: str) -> DriverError:
        """The same for what one way to boot needs: where this BMC says no, another way may do."""
        error = self.error_of(reply, method, path)
        if isinstance(error, DriverRefused):
            return BootMethodRefused(error.message, remedy=error.remedy)
        return error

    def words(self, reply: http.Reply) -> str:
        """What a BMC gave as its reasons, without our password in it."""
        told = "; ".join(dict.fromkeys(text for _, text in said.messages(reply) if text))
        return told.replace(self._account.password, MASK)[:400]


def _basic(account: Account) -> str:
    return base64.b64encode(f"{account.username}:{account.password}".encode()).decode()


# What goes into If-Match, one after the other. The second is for a change by somebody else in
# between; BMCs read weak ETags differently, and some want a condition but show no ETag.
_CONDITIONS: list[Callable[[str | None], str | None]] = [
    lambda etag: etag,
    lambda etag: etag,
    lambda etag: etag.removeprefix("W/") if etag else "*",
    lambda etag: None,
]
