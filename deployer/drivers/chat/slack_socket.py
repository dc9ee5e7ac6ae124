"""Slack's Socket Mode: we connect, and what people say comes over that connection.

https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from slack_sdk import WebClient
from slack_sdk.socket_mode.builtin import SocketModeClient
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from deployer.drivers.chat.base import Busy
from deployer.drivers.chat.pause import rest
from deployer.drivers.chat.slack_calls import Api
from deployer.errors import DriverError, DriverRefused
from deployer.observe import log

_FIRST_WAIT, _LONGEST_WAIT, _LOOK = 1.0, 60.0, 0.1  # seconds
Take = Callable[[str, dict[str, Any]], None]


def listen(api: Api, app_token: str, take: Take, stop: Callable[[], bool]) -> None:
    """Hand each envelope's id and payload on, from threads, until `stop()`.

    Connections that end are made again, later and later; DriverRefused when Slack says no.
    """
    wait = _FIRST_WAIT
    while not stop():
        began = time.monotonic()
        try:
            _session(api, app_token, take, stop)
        except DriverRefused:
            raise
        except DriverError as error:
            log.warning("chat_not_connected", platform="slack", error=error.message)
            if isinstance(error, Busy):
                wait = max(wait, error.wait.total_seconds())
        if time.monotonic() - began > _LONGEST_WAIT:
            wait = _FIRST_WAIT
        rest(wait, stop)
        wait = min(2 * wait, _LONGEST_WAIT)


def _session(api: Api, app_token: str, take: Take, stop: Callable[[], bool]) -> None:
    """As long as there is a connection; when Slack wants to, the library changes to a new one."""

    def on_request(client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        take(request.envelope_id, request.payload)

    client = _Client(api, app_token)
    client.socket_mode_request_listeners.append(on_request)
    try:
        client.connect()
        while client.is_connected() and not client.is_cut_off() and not stop():
            time.sleep(_LOOK)
    finally:
        client.close()


class _Client(SocketModeClient):
    def __init__(self, api: Api, app_token: str) -> None:
        self._api = api
        web = WebClient(app_token, f"{api.origin}/api/", retry_handlers=[])
        super().__init__(app_token, web_client=web, auto_reconnect_enabled=False)

    def enqueue_message(self, message: str) -> None:
        """Acknowledged before anything waits: Slack gives us 3 seconds, and what it is not told of
        in time it calls failed, so that it must not be done either."""
        request = _request_in(message)
        if request is not None:
            self.send_socket_mode_response(SocketModeResponse(request.envelope_id))
        super().enqueue_message(message)

    def is_cut_off(self) -> bool:
        """The library notices after 20 seconds, and keeps a core busy until then."""
        poll = select.poll()
        with suppress(OSError, ValueError):  # it is being closed by the library
            poll.register(self._socket(), select.POLLRDHUP)
            return bool(poll.poll(0))
        return False

    def close(self) -> None:
        # Otherwise the library waits 3 seconds for what it reads.
        with suppress(OSError):
            self._socket().shutdown(socket.SHUT_RDWR)
        super().close()
        self.disconnect()  # what the library was just connecting anew

    def _socket(self) -> socket.socket:
        session = self.current_session
        if session is None or session.sock is None:
            raise OSError("not connected")
        return session.sock

    def issue_new_wss_url(self) -> str:
        """In our own words: the library waits here for what we would not wait for."""
        url = str(self._api.call(self.app_token, "apps.connections.open", {})["url"])
        parts = urlsplit(url)
        # On any other port than this the library speaks without TLS.
        if self._api.origin.startswith("https:") and (
            parts.scheme != "wss" or parts.port not in (None, 443)
        ):
            raise DriverRefused(
                f"Slack leads to {parts.scheme}://{parts.netloc}, which is not safe"
            )
        self._api.check(url, self.proxy)
        return url


def _request_in(message: str) -> SocketModeRequest | None:
    """None: Slack speaks for itself, as when it says hello."""
    try:
        return SocketModeRequest.from_dict(json.loads(message))
    except (ValueError, TypeError):
        return None
