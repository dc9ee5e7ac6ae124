"""The teams driver against what Teams sends, and against what it takes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from deployer.core.chat import Message, Tone
from deployer.core.text import printable
from deployer.drivers.chat.base import Busy, Heard, Person, Place, Request
from deployer.drivers.chat.teams import Teams, TeamsSettings
from deployer.drivers.chat.teams_cards import MOST_BYTES
from deployer.drivers.http import Limits
from deployer.errors import DriverError, DriverRefused, DriverUnclear, Invalid, Unauthorized
from tests.support.chat import teams
from tests.support.chat.examples import EXAMPLES
from tests.support.chat.platform import HANG, Answer
from tests.support.chat.teams import (
    EXAMPLE,
    EXAMPLE_AT,
    SIGNATURE,
    TENANT,
    USER,
    Workflow,
    cards,
    driver,
    sent,
    signed,
    texts,
)
from tests.support.hostile import HOSTILE, everywhere, huge

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HELLO = Message("web01 is ready", Tone.GOOD)
HEARD = Heard("19:x 1", None, Person(TENANT, USER, "Megan"), Place("posts", reply="1"), "why web01")


@pytest.fixture
def workflow() -> Iterator[Workflow]:
    with Workflow() as workflow:
        yield workflow


@pytest.fixture
def poster(workflow: Workflow) -> Teams:
    return driver(api=workflow.url)


def hears(said: Any, now: datetime = NOW) -> Heard:
    return driver().hear(signed(said), now)


# --- who says it ------------------------------------------------------------------------------


def test_microsofts_example_is_signed_and_lacks_only_the_tenant_that_came_later() -> None:
    assert signed(EXAMPLE).headers["authorization"] == SIGNATURE
    with pytest.raises(Invalid) as error:
        driver().hear(Request({"authorization": SIGNATURE}, EXAMPLE), EXAMPLE_AT)
    assert error.value.field == "channelData.tenant.id"


def test_t090_one_byte_changed_anywhere_in_the_body_is_not_signed() -> None:
    for place in range(0, len(EXAMPLE), 7):
        forged = EXAMPLE[:place] + bytes([EXAMPLE[place] ^ 1]) + EXAMPLE[place + 1 :]
        with pytest.raises(Unauthorized):
            driver().hear(Request({"authorization": SIGNATURE}, forged), EXAMPLE_AT)


def test_t090_one_letter_changed_anywhere_in_the_header_is_not_signed() -> None:
    # The last letter of base64 before its = holds two bits that say nothing; we compare the text.
    for place in range(len(SIGNATURE)):
        forged = SIGNATURE[:place] + chr(ord(SIGNATURE[place]) ^ 1) + SIGNATURE[place + 1 :]
        with pytest.raises(Unauthorized):
            driver().hear(Request({"authorization": forged}, EXAMPLE), EXAMPLE_AT)


@pytest.mark.parametrize(
    "header",
    ["", "HMAC", "HMAC ", f"hmac {SIGNATURE[5:]}", f"Bearer {SIGNATURE[5:]}", SIGNATURE[5:],
     f"{SIGNATURE} ", f"HMAC  {SIGNATURE[5:]}", "HMAC ÿ\udcff"],
)  # fmt: skip
def test_t090_no_other_header_will_do(header: str) -> None:
    with pytest.raises(Unauthorized):
        driver().hear(Request({"authorization": header} if header else {}, EXAMPLE), EXAMPLE_AT)


def test_t090_the_body_is_checked_as_it_came_and_not_as_it_reads() -> None:
    """The same JSON in other bytes."""
    again = json.dumps(json.loads(EXAMPLE)).encode()
    with pytest.raises(Unauthorized):
        driver().hear(Request({"authorization": SIGNATURE}, again), EXAMPLE_AT)


def test_another_teams_token_is_not_ours() -> None:
    other = base64.b64encode(b"x" * 32).decode()
    with pytest.raises(Unauthorized, match="not signed by Teams"):
        driver().hear(signed(sent("help", NOW), other), NOW)
    assert driver(token=f" {other}\n").hear(signed(sent("help", NOW), other), NOW).text == "help"


@pytest.mark.parametrize("token", ["", "é", "no base64!", base64.b64encode(b"short").decode()])
def test_a_secret_that_is_no_token_lets_nobody_in_and_says_so(token: str) -> None:
    request = signed(sent("help", NOW), "" if token == "" else teams.TOKEN)
    with pytest.raises(Unauthorized, match="not what Teams shows") as error:
        driver(token=token).hear(request, NOW)
    assert error.value.field == "settings.token"


@pytest.mark.parametrize(
    ("seconds", "fine"), [(-301, False), (-299, True), (299, True), (301, False)]
)
def test_t091_what_was_said_more_than_five_minutes_away_is_not_heard(
    seconds: int, fine: bool
) -> None:
    said = sent("status", NOW + timedelta(seconds=seconds))
    if fine:
        assert hears(said).text == "status"
    else:
        with pytest.raises(Unauthorized, match="too long ago, or not yet"):
            hears(said)


def test_t092_a_replay_has_the_same_mark_and_no_time_that_could_be_trusted() -> None:
    first, again = hears(sent("status", NOW)), hears(sent("status", NOW))
    assert first.once == again.once and first.at is None
    elsewhere = sent("status", NOW, conversation={"id": "19:other@thread.tacv2"})
    later = sent("status", NOW, id="1485983408512")
    assert len({each.once for each in (first, hears(elsewhere), hears(later))}) == 3


# --- what is said -----------------------------------------------------------------------------


def test_who_spoke_is_known_by_tenant_and_directory_and_their_name_means_nothing() -> None:
    assert hears(sent("why web01", NOW)) == Heard(
        once="19:253b1f34@thread.tacv2;messageid=1485983194839 1485983408511",
        at=None,
        person=Person(TENANT, USER, "Megan Bowen"),
        place=Place("posts", reply="1485983408511"),
        text="why web01",
    )


def test_a_guest_without_an_id_in_the_directory_is_known_by_the_id_that_teams_gives() -> None:
    guest = sent("help", NOW, **{"from": {"id": "29:1XJKJ", "name": "Guest"}})
    assert hears(guest).person == Person(TENANT, "29:1XJKJ", "Guest")


def test_t094_another_tenant_is_another_person() -> None:
    other = sent("help", NOW, channelData={"tenant": {"id": "other"}})
    assert hears(other).person == Person("other", USER, "Megan Bowen")


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("<at>Deployer</at> reinstall web01 as web\n", "reinstall web01 as web"),
        ("<at>Deployer</at>&nbsp;status&nbsp;web01", "status web01"),
        ("<at id=\"0\">Deployer</at>\xa0 status", "status"),
        ("<p><at>Deployer</at> hosts<br>env=staging</p>", "hosts env=staging"),
        ("please <AT>My Bot</AT> why web01 <at>Larry Brown</at>", "please why web01"),
        ("<at>Deployer</at> a &lt;b&gt; &amp;amp;", "a <b> &amp;"),
        ("<at>Deployer", "Deployer"), ("< at", "< at"), ("", ""), ("<at></at>", ""),
    ],
)  # fmt: skip
def test_mention_and_markup_are_not_part_of_the_command(text: str, heard: str) -> None:
    assert hears({**sent("", NOW), "text": text}).text == heard


def test_t096_what_is_far_too_long_is_handed_on_for_somebody_to_say_so() -> None:
    text = "<at>" * 10_000
    assert hears({**sent("", NOW), "text": text}).text == text


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"id": None}, "id"), ({"id": ""}, "id"), ({"id": "1" * 501}, "id"), ({"id": 7}, "id"),
        ({"timestamp": None}, "timestamp"), ({"timestamp": "yesterday"}, "timestamp"),
        ({"channelData": []}, "channelData.tenant.id"),
        ({"channelData": {"tenant": {"id": 7}}}, "channelData.tenant.id"),
        ({"from": "Megan"}, "from.id"), ({"from": {"name": "Megan"}}, "from.id"),
    ],
)  # fmt: skip
def test_what_is_signed_and_lacks_something_is_refused_by_its_name(
    changed: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as error:
        hears(sent("help", NOW, **changed))
    assert error.value.field == field


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b"[1]", b'"x"'])
def test_what_is_signed_and_no_activity_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        hears(body)


# --- what is answered -------------------------------------------------------------------------


def answered(message: Message) -> list[str]:
    response = driver().answer(HEARD, message)
    assert (response.status, response.content_type) == (200, "application/json; charset=utf-8")
    assert len(response.body) <= MOST_BYTES
    return texts(*cards(json.loads(response.body)))


def test_a_question_says_what_to_type_where_others_have_buttons() -> None:
    assert answered(EXAMPLES["asking"]) == [
        "❓ Reinstall web01 as debian-12-web?",
        *EXAMPLES["asking"].lines,
        *(f"{name}: {value}" for name, value in EXAMPLES["asking"].facts),
        "Reinstall web01: @Deployer confirm k7wq2m",
        "Leave it: @Deployer cancel web01",
    ]


def test_an_install_under_way_shows_its_bar() -> None:
    assert answered(EXAMPLES["under_way"])[1] == "████████████░░░░░░░░ 58 %"


@pytest.mark.parametrize("name", HOSTILE)
def test_t045_hostile_text_is_shown_as_the_text_that_it_is(name: str) -> None:
    """`cards` lets through only what Teams shows as plain text."""
    rows = answered(everywhere(HOSTILE[name]))
    shown = printable(HOSTILE[name], 1000).replace("\n", "\\n")[:70]
    assert rows[0].startswith(f"❌ {shown}")
    assert [row[:3] for row in rows if not row.startswith(shown)] == [
        "❌" + rows[0][1:3],
        "███",
        "Lea",
    ]
    assert rows[-2].endswith(": @Deployer confirm k7wq2m")
    assert all(row.isprintable() for row in rows)


def test_of_too_much_the_facts_go_first_and_the_buttons_stay() -> None:
    message = huge()
    rows = answered(message)
    assert rows[-2].endswith("confirm k7wq2m") and rows[-1] == "Leave it: @Deployer cancel web01"
    # What to type outlives both facts and lines.
    assert rows[2] == "… and 400 more" and 0 < len(rows[3:-2]) < len(message.types)
    assert len(driver().answer(HEARD, message).body) > MOST_BYTES / 2
    fewer = replace(message, lines=message.lines[:3], facts=message.facts[:2], types=())
    shown = answered(fewer)
    assert [row.count("🔥") > 0 for row in shown] == [True, False, *[True] * 6, False]


def test_as_much_as_fits_is_shown_and_no_less() -> None:
    message = Message("hosts", lines=tuple(f"web{number}" for number in range(40)))
    assert len(answered(message)) == 41
    many = Message("hosts", lines=tuple("é" * 1000 for _ in range(40)))
    body = driver().answer(HEARD, many).body
    assert MOST_BYTES - 2200 < len(body.decode().encode("utf-16-le")) <= MOST_BYTES


def test_what_comes_late_is_said_at_once_by_which_way_it_comes() -> None:
    def rows(of: Teams) -> list[str]:
        return texts(*cards(json.loads(of.working(HEARD).body)))

    assert rows(driver()) == ["⏳ This takes a moment; I post the answer."]
    assert rows(driver(None)) == ["⏳ This takes longer than Teams waits.", "@Deployer status"]


# --- what is posted ---------------------------------------------------------------------------


def test_a_workflow_takes_every_message(workflow: Workflow, poster: Teams) -> None:
    for message in EXAMPLES.values():
        assert poster.post("posts", message) == ""
    assert [texts(card)[0] for card in workflow.cards] == [
        "❓ Reinstall web01 as debian-12-web?", "⏳ web01 becomes debian-12-web",
        "❌ web01 failed: the installer never called",
    ]  # fmt: skip


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name", ["huge", *HOSTILE])
def test_a_post_is_never_refused_because_of_its_text(name: str, old: bool) -> None:
    message = huge() if name == "huge" else everywhere(HOSTILE[name])
    with Workflow(old=old) as workflow:
        driver(api=workflow.url).post("posts", message)
        assert len(workflow.cards) == 1


def test_more_than_four_a_second_are_told_to_wait(workflow: Workflow, poster: Teams) -> None:
    with pytest.raises(Busy) as error:
        for _ in range(5):
            poster.post("posts", HELLO)
    assert error.value.wait == timedelta(seconds=7) and len(workflow.cards) == 4


def test_an_old_webhook_says_so_with_200_and_without_a_time() -> None:
    with Workflow(old=True) as workflow:
        poster = driver(api=workflow.url)
        with pytest.raises(Busy) as error:
            for _ in range(5):
                poster.post("posts", HELLO)
        assert error.value.wait == timedelta(seconds=5) and len(workflow.cards) == 4


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [("30", 30, 30), ("0", 0, 0), ("-5", 0, 0), ("1e9", 3600, 3600), ("nan", 5, 5), ("soon", 5, 5),
     ("inf", 5, 5), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0)],
)  # fmt: skip
def test_retry_after_is_taken_for_what_it_can_be(
    workflow: Workflow, poster: Teams, said: str, least: int, most: int
) -> None:
    workflow.faults.append(Answer(429, b"", {"Retry-After": said}))
    with pytest.raises(Busy) as error:
        poster.post("posts", HELLO)
    assert least <= error.value.wait.total_seconds() <= most


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_a_fault_may_pass(workflow: Workflow, poster: Teams, status: int) -> None:
    workflow.faults.append(Answer(status, b"upstream \x1b[31m failed"))
    with pytest.raises(DriverError, match=rf"answered {status} .*upstream \\x1b") as error:
        poster.post("posts", HELLO)
    assert type(error.value) is DriverError
    poster.post("posts", HELLO)
    assert len(workflow.cards) == 1


def test_a_workflow_that_is_off_or_another_signature_is_refused(
    workflow: Workflow, poster: Teams
) -> None:
    workflow.enabled = False
    with pytest.raises(DriverRefused, match="trigger is not enabled") as error:
        poster.post("posts", HELLO)
    assert error.value.field == "settings.posts"
    with pytest.raises(DriverRefused, match="wrong signature"):
        driver(teams.POSTS.replace("sig=Z", "sig=z"), api=workflow.url).post("posts", HELLO)


def test_no_answer_in_time_leaves_it_unclear_and_the_url_stays_secret(
    workflow: Workflow, poster: Teams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Teams, "limits", Limits(request_seconds=0.3, total_seconds=1))
    workflow.faults.append(HANG)
    with pytest.raises(DriverUnclear, match="did not answer in time") as error:
        poster.post("posts", HELLO)
    assert "********" in error.value.message and "sig=" not in error.value.message


def test_the_url_stays_secret_when_it_is_sent_back(workflow: Workflow, poster: Teams) -> None:
    target = workflow.url + teams.POSTS.partition(":443")[2]
    workflow.faults.append(Answer(500, f"cannot reach {target} now".encode()))
    with pytest.raises(DriverError) as error:
        poster.post("posts", HELLO)
    assert "sig=" not in error.value.message and "cannot reach" in error.value.message


@pytest.mark.parametrize(
    "url",
    ["", "http://contoso.webhook.office.com/x", "https://user@host.example/x", "https://h.example",
     "https://h.example/a b", "https://h.example/\r\nX: y", "ftp://h/x", "https://h.example:x/y"],
)  # fmt: skip
def test_t098_what_is_no_url_of_https_is_not_called(workflow: Workflow, url: str) -> None:
    with pytest.raises(DriverRefused, match="no URL to post to") as error:
        driver(url, api=workflow.url).post("posts", HELLO)
    assert workflow.asked == [] and (not url or url not in str(vars(error.value)))


def test_t098_nothing_within_this_machine_is_called_unless_allowed(workflow: Workflow) -> None:
    port = workflow.url.rpartition(":")[2]
    poster = driver(f"https://localhost:{port}/x")
    poster.context = replace(poster.context, networks="")
    with pytest.raises(DriverRefused, match="may not be connected to") as error:
        poster.post("posts", HELLO)
    assert "DEPLOYER_CHAT_NETWORKS" in str(error.value.remedy) and workflow.asked == []


def test_without_a_url_nothing_is_told_but_answers() -> None:
    silent = driver(None)
    assert Teams.channel_of(silent.settings) is None
    assert Teams.channel_of(driver().settings) == "posts"
    silent.answer_late(HEARD, HELLO)
    with pytest.raises(DriverRefused, match="answer, and no more") as error:
        silent.post("posts", HELLO)
    assert error.value.field == "settings.posts"


def test_a_late_answer_says_what_was_asked(workflow: Workflow, poster: Teams) -> None:
    poster.answer_late(HEARD, HELLO)
    assert texts(workflow.cards[0]) == ["✅ web01 is ready", "Megan asked: why web01"]


def test_what_teams_cannot_do_is_not_offered() -> None:
    teams = driver()
    assert not (teams.buttons or teams.edits or teams.threads or teams.listens)
    with pytest.raises(NotImplementedError):
        teams.edit("posts", "1", HELLO)


@pytest.mark.parametrize(
    "wrong",
    [{"token": "in the clear"}, {"token": None}, {"name": "two\nlines"}, {"name": "x" * 65},
     {"api": "//x"}, {"api": "http://relay.example"}, {"posts": "https://x"}, {"more": 1}],
)  # fmt: skip
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TeamsSettings.model_validate({"token": {"secret": "t"}, **wrong})
