"""All tables. Rules that must hold under any concurrency stand here, as constraints."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite forgets the zone; we do not let it come back without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


# SQLite numbers rows by itself only in a column of exactly this type.
_Serial = BigInteger().with_variant(Integer, "sqlite")


def _json() -> Any:
    return Field(sa_column=Column(JSON, nullable=False), default_factory=dict)


class JsonList(TypeDecorator[list[Any]]):
    """A list; empty in rows that are older than its column."""

    impl = JSON
    cache_ok = True

    def process_result_value(self, value: list[Any] | None, dialect: Dialect) -> list[Any]:
        return value or []


def _json_list() -> Any:
    return Field(sa_column=Column(JsonList, nullable=True), default_factory=list)


def _moment(*, nullable: bool = False, index: bool = False) -> Any:
    column: Column[datetime] = Column(UtcDateTime, nullable=nullable, index=index)
    return Field(default=None, sa_column=column) if nullable else Field(sa_column=column)


class Host(SQLModel, table=True):
    """A machine that we may power and install. `spec` is what its operator wrote."""

    __tablename__ = "hosts"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    uuid: str | None = Field(default=None, unique=True)
    protected: bool = False
    spec: dict[str, Any] = _json()
    created_at: datetime = _moment()
    updated_at: datetime = _moment()


class HostFacts(SQLModel, table=True):
    """What a host's machine showed of itself; apart from what its operator wrote."""

    __tablename__ = "host_facts"

    host_id: str = Field(
        sa_column=Column(ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True)
    )
    facts: dict[str, Any] = _json()
    updated_at: datetime = _moment()


class HostMac(SQLModel, table=True):
    """A NIC in canonical spelling. The key makes two hosts with one MAC impossible."""

    __tablename__ = "host_macs"

    mac: str = Field(primary_key=True)
    host_id: str = Field(
        sa_column=Column(ForeignKey("hosts.id", ondelete="CASCADE"), nullable=False, index=True)
    )


class HostLabel(SQLModel, table=True):
    """A label, in rows so that both databases can find hosts by it with an index."""

    __tablename__ = "host_labels"
    __table_args__ = (Index("ix_host_labels_key_value", "key", "value"),)

    host_id: str = Field(
        sa_column=Column(ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True)
    )
    key: str = Field(primary_key=True)
    value: str


class Profile(SQLModel, table=True):
    __tablename__ = "profiles"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    spec: dict[str, Any] = _json()
    created_at: datetime = _moment()
    updated_at: datetime = _moment()


class Image(SQLModel, table=True):
    """Boot media or a root image; `manifest` lists its files with size and SHA-256."""

    __tablename__ = "images"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    manifest: dict[str, Any] = _json()
    created_at: datetime = _moment()


class Deployment(SQLModel, table=True):
    """One attempt to bring one host to one profile."""

    __tablename__ = "deployments"
    __table_args__ = (
        # Promise 3, by the database: whatever races, one unfinished deployment per host.
        Index(
            "uq_deployments_unfinished_host",
            "host_id",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index(
            "ix_deployments_deadline",
            "deadline",
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index(
            "ix_deployments_boot_awaited_until",
            "boot_awaited_until",
            sqlite_where=text("boot_awaited_until IS NOT NULL"),
            postgresql_where=text("boot_awaited_until IS NOT NULL"),
        ),
    )

    id: str = Field(primary_key=True)
    host_id: str | None = Field(
        sa_column=Column(ForeignKey("hosts.id", ondelete="SET NULL"), index=True)
    )
    host_name: str = Field(index=True)
    profile_name: str = Field(index=True)
    state: str = Field(index=True)
    version: int = 1
    # Host, profile and image as they were when this was accepted: what was checked then is what
    # the machine gets, whatever is edited meanwhile.
    snapshot: dict[str, Any] = _json()
    vars: dict[str, Any] = _json()
    requested_by: str
    retry_of: str | None = None
    created_at: datetime = _moment()
    state_since: datetime = _moment()
    deadline: datetime | None = _moment(nullable=True)
    ended_at: datetime | None = _moment(nullable=True)
    cause: str | None = Field(default=None, sa_column=Column(Text))

    # The one client that may fetch: the first that asked. THREATS T003-T005, T013, F010.
    boot_address: str | None = None
    boot_mac: str | None = None
    boot_first_at: datetime | None = _moment(nullable=True)
    boot_count: int = 0
    # Ways in which the next start was led to us, the latest last, and until when we wait for the
    # machine before the next one is tried.
    boot_tries: list[dict[str, Any]] = _json_list()
    boot_awaited_until: datetime | None = _moment(nullable=True)
    # Ways to its own disk that the machine was given after the installer, the latest last.
    local_tries: list[dict[str, Any]] = _json_list()
    # verified, differs, or unverified: installed, and nobody could look.
    verification: str | None = None
    answers_address: str | None = None
    answers_first_at: datetime | None = _moment(nullable=True)
    answers_closed_at: datetime | None = _moment(nullable=True)

    # Latest progress message, and what the machine told about itself.
    progress: dict[str, Any] = _json()
    reported: dict[str, Any] = _json()


class HistoryEntry(SQLModel, table=True):
    """A line of a deployment's history; written with the change that it tells of, never after."""

    __tablename__ = "history"

    id: int | None = Field(default=None, sa_column=Column(_Serial, primary_key=True))
    deployment_id: str = Field(
        sa_column=Column(
            ForeignKey("deployments.id", ondelete="CASCADE"), nullable=False, index=True
        )
    )
    at: datetime = _moment()
    event: str
    from_state: str | None = None
    to_state: str | None = None
    by: str
    detail: dict[str, Any] = _json()


class Effect(SQLModel, table=True):
    """Work that a transition ordered (the outbox); id and offer make the engine's workflow id."""

    __tablename__ = "effects"
    __table_args__ = (
        Index(
            "ix_effects_undispatched",
            "id",
            sqlite_where=text("dispatched_at IS NULL"),
            postgresql_where=text("dispatched_at IS NULL"),
        ),
        Index(
            "ix_effects_lease",
            "lease_until",
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    id: str = Field(primary_key=True)
    deployment_id: str = Field(
        sa_column=Column(
            ForeignKey("deployments.id", ondelete="CASCADE"), nullable=False, index=True
        )
    )
    name: str
    args: dict[str, Any] = _json()
    # The step of the workflow that it is, and the state which that stands in; none for what was
    # ordered beside it.
    state: str | None = None
    step: int | None = None
    created_at: datetime = _moment()
    # Effects are told apart by these where not all may run at once.
    rack: str | None = None
    bmc: str | None = None
    not_before: datetime | None = _moment(nullable=True)
    dispatched_at: datetime | None = _moment(nullable=True, index=True)
    # Whoever carries it out renews this; once it has run out, the work is offered again, and the
    # count of offers fences off the one before.
    lease_until: datetime | None = _moment(nullable=True)
    offer: int = 0
    started_at: datetime | None = _moment(nullable=True)
    ended_at: datetime | None = _moment(nullable=True)
    attempts: int = 0
    error: str | None = Field(default=None, sa_column=Column(Text))


class MachineLog(SQLModel, table=True):
    """A log that an installer sent; in the database so that every replica can show it."""

    __tablename__ = "machine_logs"

    deployment_id: str = Field(
        sa_column=Column(ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True)
    )
    name: str = Field(primary_key=True)
    at: datetime = _moment()
    content: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class ApiToken(SQLModel, table=True):
    """A person's or script's credential; only its SHA-256 is kept (it has 256 random bits)."""

    __tablename__ = "api_tokens"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    role: str
    hash: str = Field(sa_column=Column(String(64), nullable=False, unique=True))
    created_at: datetime = _moment()
    expires_at: datetime = _moment()
    last_used_at: datetime | None = _moment(nullable=True)


class IdempotentReply(SQLModel, table=True):
    """What was answered to a request with an Idempotency-Key, by the same token."""

    __tablename__ = "idempotent_replies"

    token_id: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: str
    body: dict[str, Any] = _json()
    created_at: datetime = _moment(index=True)


class AuditEntry(SQLModel, table=True):
    """Who did what to which thing, from where; appended with the act, never changed."""

    __tablename__ = "audit"

    id: int | None = Field(default=None, sa_column=Column(_Serial, primary_key=True))
    at: datetime = _moment()
    actor: str
    action: str
    target: str
    address: str | None = None
    detail: dict[str, Any] = _json()


class Secret(SQLModel, table=True):
    """What profiles name and nobody is shown; the key to it is the server's, and not in here."""

    __tablename__ = "secrets"

    name: str = Field(primary_key=True)
    ciphertext: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    updated_at: datetime = _moment()
    updated_by: str = ""


class Experience(SQLModel, table=True):
    """Of several ways to one end, which one was seen to work on a kind of machine."""

    __tablename__ = "experience"

    purpose: str = Field(primary_key=True)
    product: str = Field(primary_key=True)
    way: str = Field(primary_key=True)
    worked: int = 0
    failed: int = 0
    last_at: datetime = _moment()


class Receiver(SQLModel, table=True):
    """Somebody who is told of deployments, and may be a chat that answers."""

    __tablename__ = "receivers"

    name: str = Field(primary_key=True)
    type: str = Field(index=True)
    spec: dict[str, Any] = _json()
    created_at: datetime = _moment()
    updated_at: datetime = _moment()
    # It did not answer, or asked for a pause: until then it is sent nothing.
    paused_until: datetime | None = _moment(nullable=True)


class Delivery(SQLModel, table=True):
    """One thing that one receiver is told; kept for a while, so that it can be sent again."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index(
            "ix_deliveries_due",
            "not_before",
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    id: str = Field(primary_key=True)
    # What happened; the same for all receivers, and when it is sent once more.
    notice_id: str
    happened_at: datetime = _moment()
    receiver: str = Field(index=True)
    deployment_id: str | None = Field(
        sa_column=Column(ForeignKey("deployments.id", ondelete="CASCADE"), index=True)
    )
    event: str
    # The deployment as it was then, and the words for people.
    data: dict[str, Any] = _json()
    message: dict[str, Any] = _json()
    created_at: datetime = _moment()
    not_before: datetime = _moment()
    lease_until: datetime | None = _moment(nullable=True)
    attempts: int = 0
    ended_at: datetime | None = _moment(nullable=True, index=True)
    # sent, refused, or expired.
    outcome: str | None = None
    said: str | None = Field(default=None, sa_column=Column(Text))


class ChatPerson(SQLModel, table=True):
    """Who speaks in a chat, as its platform guarantees it, and whose token's role they have."""

    __tablename__ = "chat_people"

    platform: str = Field(primary_key=True)
    tenant: str = Field(primary_key=True)
    user: str = Field(primary_key=True)
    token_id: str = Field(
        sa_column=Column(ForeignKey("api_tokens.id", ondelete="CASCADE"), nullable=False)
    )
    shown: str = ""
    linked_at: datetime = _moment()


class OneTimeCode(SQLModel, table=True):
    """Says yes once: to who somebody is (link), or to what would be lost (confirm). Only its
    SHA-256 is kept."""

    __tablename__ = "one_time_codes"

    hash: str = Field(sa_column=Column(String(64), primary_key=True))
    purpose: str
    token_id: str = Field(
        sa_column=Column(ForeignKey("api_tokens.id", ondelete="CASCADE"), nullable=False)
    )
    data: dict[str, Any] = _json()
    created_at: datetime = _moment()
    expires_at: datetime = _moment(index=True)
    used_at: datetime | None = _moment(nullable=True)


class ChatHeard(SQLModel, table=True):
    """A request of a chat platform that was answered, so that its replay is not; also after a
    restart, and on another replica."""

    __tablename__ = "chat_heard"

    platform: str = Field(primary_key=True)
    once: str = Field(primary_key=True)
    at: datetime = _moment(index=True)


class ChatThread(SQLModel, table=True):
    """One deployment in one channel: a message that is edited in place, and its thread."""

    __tablename__ = "chat_threads"
    __table_args__ = (
        Index("uq_chat_threads_place", "deployment_id", "receiver", "channel", unique=True),
        Index(
            "ix_chat_threads_open",
            "not_before",
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    id: str = Field(primary_key=True)
    deployment_id: str = Field(
        sa_column=Column(
            ForeignKey("deployments.id", ondelete="CASCADE"), nullable=False, index=True
        )
    )
    receiver: str
    channel: str
    message: str | None = None
    # What it looks like now; compared, so that nothing is sent that changes nothing.
    shown: str | None = None
    # How many of the things that are said in the thread were said.
    said: int = 0
    not_before: datetime = _moment()
    lease_until: datetime | None = _moment(nullable=True)
    failures: int = 0
    ended_at: datetime | None = _moment(nullable=True)
    error: str | None = Field(default=None, sa_column=Column(Text))


class Fact(SQLModel, table=True):
    """What this database knows of its service, such as the fingerprint of the server's key."""

    __tablename__ = "facts"

    name: str = Field(primary_key=True)
    value: str
