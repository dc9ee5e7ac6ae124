"""HTTP to what may be slow, broken or hostile: bounded in time, size and number.

Made of httpcore, on which httpx is built: httpx itself limits no request as a whole, and has no
place to look at address and certificate before the first byte is sent.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import httpcore

from deployer.drivers import reach, tls
from deployer.errors import DriverError, DriverRefused, DriverUnclear

# Where a request may have been carried out although no answer came.
_BEFORE_SENDING = (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout)


@dataclass(frozen=True)
class Limits:
    """Of one conversation; a BMC takes seconds for what a server does in one."""

    request_seconds: float = 30
    total_seconds: float = 90
    body_bytes: int = 1024 * 1024
    requests: int = 60


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes = field(repr=False)


class Client:
    """Speaks to one origin, such as `https://10.0.9.1`, and to no other; a context manager."""

    def __init__(
        self, origin: str, verify: tls.Verify, networks: str, limits: Limits,
        setting: str = reach.POWER,
    ) -> None:  # fmt: skip
        self.origin, self.verify, self.networks, self.limits = origin, verify, networks, limits
        self.setting = setting
        self.url = httpcore.URL(origin)
        self._ends = time.monotonic() + limits.total_seconds
        self._asked = 0
        self._context = tls.context(verify)
        self._until = _Until(self._ends)
        self._pool = self._connect()

    def _connect(self) -> httpcore.ConnectionPool:
        backend = _Backend(self._until, self.networks, self.verify, self.setting)
        return httpcore.ConnectionPool(
            ssl_context=self._context, max_connections=1, network_backend=backend
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    @property
    def seconds_left(self) -> float:
        return self._ends - time.monotonic()

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        once: bool = False,
        shown: str | None = None,
    ) -> Reply:
        """The answer, whatever its status; redirects are not followed.

        `once`: must not be repeated. DriverUnclear when it may have been carried out all the same.
        `shown`: what errors call the path, where a secret stands in it.
        """
        self._asked += 1
        if self._asked > self.limits.requests:
            raise DriverRefused(f"{self.origin} leads on and on, after {self._asked} requests")
        if once:
            # Not on a connection whose other end may have gone unnoticed.
            self._pool.close()
            self._pool = self._connect()
        self._until.at = min(time.monotonic() + self.limits.request_seconds, self._ends)
        try:
            return self._exchange(method, path, headers or {}, body)
        except _BEFORE_SENDING as error:
            self._not_connected(error)
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            kind = DriverUnclear if once else DriverError
            slow = isinstance(error, httpcore.TimeoutException)
            what = "did not answer in time" if slow else "broke the connection off"
            raise kind(f"{self.origin} {what}: {method} {shown or path}") from None

    def _exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        url = httpcore.URL(
            scheme=self.url.scheme, host=self.url.host, port=self.url.port, target=path
        )
        given = {"Host": self.origin.partition("://")[2], "Accept": "application/json"}
        if body or method not in ("GET", "DELETE"):
            given |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        given |= headers
        with self._pool.stream(
            method, url, headers=list(given.items()), content=body or None
        ) as response:
            found = {
                name.decode("ascii", "replace").lower(): value.decode("latin-1")
                for name, value in response.headers
            }
            return Reply(response.status, found, self._bounded(response.iter_stream()))

    def _bounded(self, stream: Iterable[bytes]) -> bytes:
        read = bytearray()
        for chunk in stream:
            read += chunk
            if len(read) > self.limits.body_bytes:
                raise DriverRefused(
                    f"{self.origin} answers with more than {self.limits.body_bytes} bytes",
                    remedy="correct the URL: something else seems to answer there",
                )
        return bytes(read)

    def _not_connected(self, error: Exception) -> NoReturn:
        reason = error.args[0] if error.args else error
        if isinstance(reason, DriverError):
            raise reason
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise self._distrust(reason.verify_message) from None
        if isinstance(reason, ssl.SSLError):
            raise DriverRefused(
                f"{self.origin} speaks no TLS that we do: {reason.reason}",
                remedy="correct the URL (http or https, port), or update what answers there",
            ) from None
        said = str(reason) or "no answer"
        raise DriverError(f"{self.origin} cannot be reached: {said}") from None

    def _distrust(self, problem: str) -> DriverRefused:
        host, port = self.url.host.decode(), self.url.port or 443
        address = reach.addresses(host, port, self.networks, self.setting)[0]
        shown = tls.shown_by(address, port, max(0.1, min(5, self.seconds_left)))
        return distrust(self.origin, problem, shown or "")


def distrust(origin: str, problem: str, shown: str) -> DriverRefused:
    return DriverRefused(
        f"{origin} shows a certificate that is not to be trusted: {problem}; its SHA-256 is"
        f" {shown or 'not known'}",
        field="verify",
        remedy="if that is what its own page, its label or its owner says, write"
        " `verify: {fingerprint: …}`; or give `verify: {ca: …}`, or install a certificate",
    )


@dataclass
class _Until:
    """The moment (monotonic) at which the request under way has to be over."""

    at: float

    def left(self, wanted: float | None, error: type[Exception]) -> float:
        left = self.at - time.monotonic()
        if left <= 0:
            raise error
        return min(left, wanted) if wanted is not None else left


class _Backend(httpcore.NetworkBackend):
    """Connects to allowed addresses alone; every wait ends with the request's time."""

    def __init__(self, until: _Until, networks: str, verify: tls.Verify, setting: str) -> None:
        self._until, self._networks, self._verify = until, networks, verify
        self._setting = setting
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None,
        local_address: str | None = None, socket_options: Any = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        try:
            allowed = reach.addresses(host, port, self._networks, self._setting)
        except DriverError as error:
            raise httpcore.ConnectError(error) from error
        for address in allowed[:-1]:
            try:
                return self._to(address, host, port, 5)
            except _BEFORE_SENDING:
                continue
        return self._to(allowed[-1], host, port, None)

    def _to(self, address: str, host: str, port: int, seconds: float | None) -> _Stream:
        left = self._until.left(seconds, httpcore.ConnectTimeout)
        stream = self._plain.connect_tcp(address, port, left)
        return _Stream(stream, self._until, self._verify, f"https://{host}:{port}")

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    def __init__(
        self, inner: httpcore.NetworkStream, until: _Until, verify: tls.Verify, origin: str
    ) -> None:
        self._inner, self._until, self._verify, self._origin = inner, until, verify, origin

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._until.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._until.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        left = self._until.left(timeout, httpcore.ConnectTimeout)
        secured = self._inner.start_tls(ssl_context, server_hostname, left)
        if isinstance(self._verify, tls.Pin):
            certificate = secured.get_extra_info("ssl_object").getpeercert(True)
            shown = tls.fingerprint(certificate or b"")
            if shown != self._verify.fingerprint:
                secured.close()
                problem = f"it is not the one of SHA-256 {self._verify.fingerprint}"
                raise httpcore.ConnectError(distrust(self._origin, problem, shown))
        return _Stream(secured, self._until, self._verify, self._origin)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
