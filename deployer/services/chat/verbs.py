"""What each command does. Whatever changes something goes by `services.orders`, as the API does,
and what overwrites a disk or ends an install is confirmed first by somebody who was shown it."""

from __future__ import annotations

from collections.abc import Callable

from deployer.core.chat import Message
from deployer.core.chat_commands import USAGE, Command, Verb
from deployer.services import people
from deployer.services.chat import asking, looking
from deployer.services.chat.speaker import Speaker
from deployer.services.people import Role


def do(speaker: Speaker, command: Command) -> Message:
    """The answer; what is refused is a DeployerError, as everywhere."""
    acts = USAGE[command.verb].acts
    people.require(speaker.token, Role.OPERATOR if acts else Role.VIEWER)
    return _DOES[command.verb](speaker, command)


_DOES: dict[Verb, Callable[[Speaker, Command], Message]] = {
    Verb.HELP: looking.help, Verb.STATUS: looking.status, Verb.WHY: looking.why,
    Verb.HOSTS: looking.hosts, Verb.PROFILES: looking.profiles,
    Verb.REINSTALL: asking.reinstall, Verb.RETRY: asking.retry, Verb.CANCEL: asking.cancel,
    Verb.APPROVE: asking.approve, Verb.CONFIRM: asking.confirm, Verb.NO: asking.no,
}  # fmt: skip
