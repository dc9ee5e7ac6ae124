"""Webhooks are signed as everybody's libraries check them: https://www.standardwebhooks.com."""

from __future__ import annotations

from deployer.drivers import standard_webhooks


def test_the_example_of_the_standard_is_signed_alike() -> None:
    """Of its reference libraries' tests: standard-webhooks/libraries, python."""
    key = standard_webhooks.signing_key("hook", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    id_, at, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}'
    made = standard_webhooks.signature(key, id_, at, body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
