"""The deployment as JSON, signed as https://www.standardwebhooks.com has it."""

from __future__ import annotations

from datetime import UTC, datetime

from deployer.core.profiles import HttpUrl, SecretRef
from deployer.drivers import standard_webhooks, tls
from deployer.drivers.calls import Call
from deployer.drivers.chat.base import ChatSettings
from deployer.drivers.notify.base import Notice, NotifyDriver, url_of


class WebhookSettings(ChatSettings):
    """`secret` is whsec_ and 24 to 64 bytes in base64."""

    url: HttpUrl | SecretRef
    secret: SecretRef
    verify: tls.Verify = True


class Webhook(NotifyDriver):
    name = "webhook"
    Settings = WebhookSettings
    settings: WebhookSettings

    def send(self, notice: Notice) -> str:
        settings, body = self.settings, standard_webhooks.body(notice.event, notice.at, notice.data)
        secret = self.context.secret(settings.secret)
        key = standard_webhooks.signing_key(settings.secret.secret, secret)
        # When it is sent is signed, so that a thief's copy is soon too old; each try has its own.
        headers = standard_webhooks.headers(key, notice.id, datetime.now(UTC), body)
        url, hidden = url_of(settings.url, self.context)
        call = Call("POST", url, headers, body, secret=hidden)
        return self.called(call)


DRIVER = Webhook
