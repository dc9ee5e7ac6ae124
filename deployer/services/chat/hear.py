"""From what a platform brings us to the answer: heard before? who is it? what do they want?"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from sqlmodel import Session

from deployer.core.chat import Message, Tone
from deployer.core.chat_commands import Command, Misunderstood, Verb, parse
from deployer.drivers.chat.base import SIGNED_WITHIN, ChatDriver, Heard, Request, Response
from deployer.errors import (
    DeployerError,
    DriverError,
    DriverRefused,
    NotFound,
    Unauthorized,
)
from deployer.observe import log
from deployer.services import people, receivers
from deployer.services.chat import codes, looking, verbs
from deployer.services.chat.speaker import Speaker
from deployer.services.limit import Judged, RateLimit
from deployer.services.parts import CHAT_DRIVERS, Parts
from deployer.store import chats
from deployer.store import people as people_store
from deployer.store.tables import ApiToken, ChatPerson

_TOO_MUCH = Message("That is more than I can follow.", Tone.BAD, ("wait a minute",))
# Before each try of an answer that is late already.
_PAUSES = (0.0, 1.0, 5.0)


@dataclass(frozen=True)
class Ear:
    """The receiver that it came by, and its driver."""

    receiver: str
    driver: ChatDriver


@dataclass
class Ears:
    """What this process hears, and how much of it from whom. THREATS T090-T094, T100."""

    parts: Parts
    by_person: RateLimit = field(init=False)
    by_tenant: RateLimit = field(init=False)

    def __post_init__(self) -> None:
        per_minute = self.parts.settings.chat_commands_per_minute
        self.by_person, self.by_tenant = RateLimit(per_minute), RateLimit(10 * per_minute)

    def hear(self, platform: str, request: Request) -> tuple[Ear, Heard | Response]:
        """What was said, by the first receiver of this platform whose signature it has."""
        if platform not in CHAT_DRIVERS:
            raise NotFound("there is nothing here")
        for ear in self._ears(platform):
            now = self.parts.clock()
            try:
                said = ear.driver.hear(request, now)
            except Unauthorized:
                continue
            if isinstance(said, Heard) and said.at and abs(now - said.at) > SIGNED_WITHIN:
                raise Unauthorized("this was signed too long ago, or our clocks differ")
            return ear, said
        raise Unauthorized("this was not signed by a chat that we know")

    def _ears(self, platform: str) -> list[Ear]:
        found = []
        with self.parts.database.reading() as session:
            for row in receivers.enabled(session, type=platform):
                try:
                    driver = receivers.chat_driver(session, self.parts, row)
                    found.append(Ear(row.name, driver))
                except DeployerError as error:
                    log.warning("chat_not_ready", receiver=row.name, error=error.message)
        return found

    def answer(self, ear: Ear, heard: Heard) -> Message | None:
        """What is said to it; None when it was heard before, so that nothing happens."""
        parts = self.parts
        if not self._may_speak(ear.driver.name, heard):
            # Before anything is written: commits are what machines that boot would wait for.
            return _TOO_MUCH
        with parts.database.writing() as session:
            if not chats.first_time(session, ear.driver.name, heard.once, parts.clock()):
                log.info("chat_replay", receiver=ear.receiver)
                return None
        with parts.database.reading() as session:
            token = _token_of(session, parts, ear.driver.name, heard)
        return self.understand(ear.receiver, ear.driver.name, heard, token)

    def understand(
        self, receiver: str, platform: str, heard: Heard, token: ApiToken | None
    ) -> Message:
        """What is said to somebody with this token, or with none; never an error."""
        try:
            command = parse(heard.text)
            return _answer(self.parts, receiver, platform, heard, token, command)
        except Misunderstood as error:
            return Message(error.problem, Tone.BAD, types=error.try_)
        except DeployerError as error:
            log.info("chat_refused", receiver=receiver, why=error.message)
            return Message(error.message, Tone.BAD, (error.remedy,) if error.remedy else ())

    def _may_speak(self, platform: str, heard: Heard) -> bool:
        """A person who says too much uses up nothing of what others of the same workspace may."""
        tenant = f"{platform} {heard.person.tenant}"
        return (
            self.by_person.judge(f"{tenant} {heard.person.user}") is Judged.FINE
            and self.by_tenant.judge(tenant) is Judged.FINE
        )


def say_late(ear: Ear, heard: Heard, message: Message) -> None:
    """The answer by a call of ours; tried again where that may help, for seconds."""
    for pause in _PAUSES:
        time.sleep(pause)
        try:
            ear.driver.answer_late(heard, message)
            return
        except DriverError as error:
            log.warning("chat_failed", receiver=ear.receiver, error=error.message)
            if isinstance(error, DriverRefused):
                return


def _answer(
    parts: Parts, receiver: str, platform: str, heard: Heard, token: ApiToken | None,
    command: Command,
) -> Message:  # fmt: skip
    if command.verb is Verb.LINK:
        return _link(parts, platform, heard, command.code)
    if token is None:
        # Whom we do not know learns nothing, whatever they are called (THREATS T093).
        return looking.introduction(None)
    if command.verb is Verb.UNLINK:
        return _unlink(parts, platform, heard, token)
    return verbs.do(Speaker(parts, receiver, platform, token, heard), command)


def _token_of(session: Session, parts: Parts, platform: str, heard: Heard) -> ApiToken | None:
    row = chats.person(session, platform, heard.person.tenant, heard.person.user)
    token = people_store.token_by_id(session, row.token_id) if row else None
    return token if token is not None and token.expires_at > parts.clock() else None


def _link(parts: Parts, platform: str, heard: Heard, code: str) -> Message:
    person = heard.person
    with parts.database.writing() as session:
        row = codes.look(session, parts, "link", code)
        codes.use(session, parts, row)
        token = people_store.token_by_id(session, row.token_id)
        if token is None or token.expires_at <= parts.clock():
            raise NotFound("the token that this code was made with is no more")
        session.merge(
            ChatPerson(
                platform=platform, tenant=person.tenant, user=person.user, token_id=token.id,
                shown=person.shown[:100], linked_at=parts.clock(),
            )
        )  # fmt: skip
        _audit(session, parts, platform, heard, token, "chat.link")
    said = f"From now on you act as {token.name}, who is {token.role}."
    return Message("Linked", Tone.GOOD, (said,), types=("help",))


def _unlink(parts: Parts, platform: str, heard: Heard, token: ApiToken) -> Message:
    with parts.database.writing() as session:
        row = chats.person(session, platform, heard.person.tenant, heard.person.user)
        if row is not None:
            session.delete(row)
        _audit(session, parts, platform, heard, token, "chat.unlink")
    return Message("Forgotten: I do not know you any more.")


def _audit(
    session: Session, parts: Parts, platform: str, heard: Heard, token: ApiToken, act: str
) -> None:
    target = heard.person.at(platform)
    people.audit(session, parts.clock(), token.name, act, target, target)
