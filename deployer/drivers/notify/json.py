"""The deployment as JSON, to any program that takes a POST."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from deployer.core.effects import HeaderName
from deployer.core.profiles import HttpUrl, SecretRef
from deployer.drivers import standard_webhooks, tls
from deployer.drivers.calls import Call
from deployer.drivers.chat.base import ChatSettings
from deployer.drivers.notify.base import Notice, NotifyDriver, url_of
from deployer.errors import DriverRefused

HeaderValue = Annotated[str, Field(pattern=r"^[ -~]{0,1000}$")]


class JsonSettings(ChatSettings):
    """`url` is {secret: NAME} where whoever knows it may post there."""

    url: HttpUrl | SecretRef
    headers: dict[HeaderName, HeaderValue | SecretRef] = Field(default_factory=dict, max_length=32)
    verify: tls.Verify = True

    @model_validator(mode="after")
    def _secrets_are_not_sent_in_the_clear(self) -> JsonSettings:
        if isinstance(self.url, str):
            self.refuse_clear_text(self.url)
        return self

    def refuse_clear_text(self, url: str) -> None:
        """ValueError where a header is a secret, and `url` has no TLS."""
        if any(isinstance(value, SecretRef) for value in self.headers.values()):
            tls.refuse_clear_text(url, self.verify)


class Json(NotifyDriver):
    name = "json"
    Settings = JsonSettings
    settings: JsonSettings

    def send(self, notice: Notice) -> str:
        headers = {
            name: self.context.secret(value) if isinstance(value, SecretRef) else value
            for name, value in self.settings.headers.items()
        }
        url, secret = url_of(self.settings.url, self.context)
        try:
            self.settings.refuse_clear_text(url)
        except ValueError as error:
            raise DriverRefused(f"settings.url: {error}") from None
        body = standard_webhooks.body(notice.event, notice.at, notice.data)
        call = Call("POST", url, {"Idempotency-Key": notice.id, **headers}, body, secret=secret)
        return self.called(call)


DRIVER = Json
