"""Calls of Slack's API by its own library; what goes wrong with them becomes our errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web import SlackResponse
from slack_sdk.webhook import WebhookClient

from deployer.core.text import printable
from deployer.drivers import reach
from deployer.drivers.chat.busy import busy
from deployer.drivers.http import Reply
from deployer.errors import DriverError, DriverRefused

_SECONDS = 10
_BROKEN = (OSError, HTTPException, ValueError, SlackClientError)
_WAIT = {"ratelimited", "rate_limited", "message_limit_exceeded"}
_LATER = {"internal_error", "fatal_error", "service_unavailable", "request_timeout",
          "team_added_to_org"}  # fmt: skip
_REINSTALL = "install the app in the workspace (anew), and store the token that is shown there"
_REMEDIES = {
    "not_in_channel": "invite the app: type /invite @deployer in the channel",
    "channel_not_found": "take the channel's ID from its details, and invite the app there if it"
    " is private",
    "is_archived": "name another channel",
    "missing_scope": "give the app this scope, and install it anew",
    "invalid_auth": _REINSTALL, "not_authed": _REINSTALL, "token_revoked": _REINSTALL,
    "account_inactive": _REINSTALL, "token_expired": _REINSTALL,
    "not_allowed_token_type": "bot_token begins with xoxb-, app_token with xapp-",
}  # fmt: skip


class Api:
    """Slack at `origin`. Through the proxy of the environment, if there is one: then it is the
    proxy that decides what can be reached, and not `networks`."""

    def __init__(self, origin: str, networks: str) -> None:
        self.origin, self.networks = origin, networks

    def call(self, token: str, method: str, given: dict[str, Any]) -> SlackResponse:
        """What Slack answers, which is `ok`."""
        client = WebClient(token, f"{self.origin}/api/", timeout=_SECONDS, retry_handlers=[])
        self.check(self.origin, client.proxy)
        try:
            return client.api_call(method, json=given)
        except SlackApiError as error:
            raise self._problem(method, error.response) from None
        except _BROKEN as error:
            raise self._broken(method, error) from None

    def respond(self, url: str, given: dict[str, Any]) -> None:
        """Send to a response_url; DriverRefused unless it is Slack's own (THREATS T098)."""
        if not self._is_slack(url):
            raise DriverRefused(
                "this response_url is not Slack's", field="response_url",
                value=printable(url, 100), remedy="correct `api` if this Slack is another one",
            )  # fmt: skip
        client = WebhookClient(url, _SECONDS, retry_handlers=[])
        self.check(url, client.proxy)
        try:
            reply = client.send_dict(given)
        except _BROKEN as error:
            raise self._broken("response_url", error) from None
        if reply.status_code != 200:
            said = _error_in(reply.body)
            raise _refusal("response_url", reply.status_code, said, dict(reply.headers))

    def check(self, url: str, proxy: str | None) -> None:
        """DriverRefused unless that host may be connected to."""
        parts = urlsplit(url)
        if proxy is None:
            port = parts.port or (443 if parts.scheme in ("https", "wss") else 80)
            reach.addresses(parts.hostname or "", port, self.networks, reach.RECEIVERS)

    def _is_slack(self, url: str) -> bool:
        ours = urlsplit(self.origin)
        try:
            given = urlsplit(url)
        except ValueError:
            return False
        hosts = (ours.netloc, f"hooks.{ours.netloc}")
        return given.scheme == ours.scheme and given.netloc in hosts and url.isprintable()

    def _problem(self, method: str, response: Any) -> DriverError:
        data = response.data if isinstance(response.data, dict) else {}
        said = str(data.get("error") or "no reason")
        needed = data.get("needed") or (data.get("response_metadata") or {}).get("messages")
        return _refusal(method, response.status_code, said, response.headers, needed)

    def _broken(self, method: str, error: Exception) -> DriverError:
        reason = printable(str(getattr(error, "reason", error)), 200)
        return DriverError(f"{self.origin} did not answer {method}: {reason}")


def _error_in(body: str) -> str:
    """A response_url answers with a word, or with JSON that holds one."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, LookupError, TypeError):
        return body or "no reason"


def _refusal(
    method: str, status: int, said: str, headers: Mapping[str, str], needed: Any = None
) -> DriverError:
    told = f"Slack refuses {method}: {printable(said, 200)}"
    if needed:
        told += f" ({printable(str(needed), 300)})"
    if status == 429 or said in _WAIT:
        lower = {name.lower(): value for name, value in headers.items()}
        return busy(told, Reply(status, lower, b""))
    # Slack's own reasons are one word; anything else is from somebody between us and Slack.
    if status >= 500 or said in _LATER or " " in said:
        return DriverError(told)
    return DriverRefused(told, remedy=_REMEDIES.get(said))
