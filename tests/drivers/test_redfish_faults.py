"""BMCs that hang, break off, lie or lead astray: errors that say so, and never a second reset."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployer.drivers import http
from deployer.drivers.power import redfish
from deployer.drivers.power.base import PowerDriver, PowerState
from deployer.drivers.power.redfish import Redfish
from deployer.drivers.redfish import boot
from deployer.errors import DriverError, DriverRefused, DriverUnclear
from tests.support import mockups
from tests.support.bmc import PASSWORD, Answer, Asked, FaultyBmc, Manner, refusal
from tests.support.certificates import self_signed
from tests.support.power import driver

SYSTEM = "/redfish/v1/Systems/System.Embedded.1"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Redfish, "limits", http.Limits(body_bytes=100_000))
    monkeypatch.setattr(boot, "_READ_BACK_SECONDS", 1)
    monkeypatch.setattr(redfish, "_OFF_SECONDS", 1)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, short: None) -> None:
    """For BMCs that do not answer."""
    monkeypatch.setattr(Redfish, "limits", http.Limits(request_seconds=0.5, total_seconds=3))


@pytest.fixture
def bmc() -> Iterator[FaultyBmc]:
    with FaultyBmc(mockups.dell()) as bmc:
        yield bmc


@pytest.fixture
def switch(bmc: FaultyBmc) -> PowerDriver:
    return driver(bmc.settings)


def test_a_password_is_sent_for_a_session_and_never_again(
    bmc: FaultyBmc, switch: PowerDriver
) -> None:
    switch.boot_once()
    with_it = [asked for asked in bmc.asked if PASSWORD in str(asked.body)]
    assert [asked.path for asked in with_it] == ["/redfish/v1/SessionService/Sessions"]
    assert not any("authorization" in asked.headers for asked in bmc.asked)
    assert bmc.asked[-1].method == "DELETE" and bmc.open_sessions == 0


@pytest.mark.parametrize("status", [400, 404, 405, 503])
def test_without_sessions_it_goes_on_with_basic(
    bmc: FaultyBmc, switch: PowerDriver, status: int
) -> None:
    bmc.fault("POST", "Sessions$", refusal(status, "no session for you"))
    assert switch.state() is PowerState.ON
    assert bmc.asked[-1].headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_password_is_tried_once_so_that_the_account_is_not_locked(
    bmc: FaultyBmc, status: int
) -> None:
    bmc.fault("POST", "Sessions$", refusal(status, f"{PASSWORD} is not the password"))
    with pytest.raises(DriverRefused, match=f"{status}, .* is not the password") as refused:
        driver(bmc.settings).state()
    assert PASSWORD not in str(refused.value) and "deployer secret set" in str(refused.value.remedy)
    assert len(bmc.told("POST")) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_bmc_may_be_asked_again(bmc: FaultyBmc, switch: PowerDriver, status: int) -> None:
    bmc.fault("GET", SYSTEM, Answer(status, b"<html>", {"Retry-After": "30"}))
    with pytest.raises(DriverError, match=str(status)) as error:
        switch.state()
    assert not isinstance(error.value, DriverRefused) and error.value.extra == {"retry_after": 30}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("manner", ["hang", "drop", "drip"])
def test_no_answer_is_an_error_in_time(bmc: FaultyBmc, switch: PowerDriver, manner: Manner) -> None:
    bmc.fault("GET", SYSTEM, manner)
    began = time.monotonic()
    with pytest.raises(DriverError, match=r"in time|broke the connection off") as error:
        switch.state()
    assert type(error.value) is DriverError and time.monotonic() - began < 2


def test_nobody_there() -> None:
    with FaultyBmc(mockups.dell()) as gone:
        settings = gone.settings
    with pytest.raises(DriverError, match=r"cannot be reached: .*refused") as error:
        driver(settings).state()
    assert type(error.value) is DriverError


@pytest.mark.slow
def test_all_of_it_has_an_end_even_when_every_answer_comes_in_time(
    bmc: FaultyBmc, switch: PowerDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = http.Limits(request_seconds=5, total_seconds=1)
    monkeypatch.setattr(Redfish, "limits", slow)
    answer = bmc.answer

    def sluggish(asked: Asked) -> Answer:
        time.sleep(0.4)
        return answer(asked)

    monkeypatch.setattr(bmc, "answer", sluggish)
    began = time.monotonic()
    with pytest.raises(DriverError, match="in time"):
        switch.boot_once()
    assert time.monotonic() - began < 2


# --- resets -----------------------------------------------------------------------------------


def _without_a_clock(bmc: FaultyBmc) -> None:
    """As BMCs that do not say when the machine was reset."""
    del bmc.system["LastResetTime"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("manner", ["do_and_drop", "do_and_hang"])
def test_a_lost_answer_to_a_reset_is_unclear_and_not_asked_twice(
    bmc: FaultyBmc, switch: PowerDriver, manner: Manner
) -> None:
    _without_a_clock(bmc)
    bmc.fault("POST", "Reset", manner)
    with pytest.raises(DriverUnclear, match=r"in time|broke"):
        switch.cycle()
    assert bmc.resets == ["ForceRestart"]


def test_a_lost_answer_is_clear_where_the_bmc_says_when_it_was_reset(
    bmc: FaultyBmc, switch: PowerDriver
) -> None:
    bmc.fault("POST", "Reset", "do_and_drop")
    assert switch.cycle().startswith("the BMC restarts it (ForceRestart)")
    assert bmc.resets == ["ForceRestart"]


def test_a_bmc_that_is_gone_after_the_reset_leaves_it_unclear(
    bmc: FaultyBmc, switch: PowerDriver
) -> None:
    bmc.fault("POST", "Reset", "do_and_drop")
    answer = bmc.answer
    gone = Answer(503)
    bmc.answer = lambda asked: gone if bmc.resets and asked.method == "GET" else answer(asked)  # type: ignore[method-assign]
    with pytest.raises(DriverUnclear):
        switch.cycle()


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_fault_without_a_word_is_unclear_too(
    bmc: FaultyBmc, switch: PowerDriver, status: int
) -> None:
    bmc.fault("POST", "Reset", Answer(status, b"<h1>oops</h1>"))
    with pytest.raises(DriverUnclear, match=str(status)):
        switch.cycle()


def test_a_fault_that_the_bmc_explains_is_not(bmc: FaultyBmc, switch: PowerDriver) -> None:
    bmc.fault("POST", "Reset", refusal(500, "the power supply is missing"))
    with pytest.raises(DriverError, match="power supply") as error:
        switch.cycle()
    assert type(error.value) is DriverError


def test_switching_on_can_be_asked_twice(bmc: FaultyBmc, switch: PowerDriver) -> None:
    bmc.system["PowerState"] = "Off"
    bmc.fault("POST", "Reset", "drop")
    with pytest.raises(DriverError) as error:
        switch.cycle()
    assert type(error.value) is DriverError
    assert switch.cycle() == "the BMC switches it on (On) (whoever it is: verify is false)"


def test_a_machine_on_its_way_off_is_left_alone(bmc: FaultyBmc, switch: PowerDriver) -> None:
    bmc.system["PowerState"] = "PoweringOff"
    assert switch.state() is PowerState.UNKNOWN
    with pytest.raises(DriverError, match="PoweringOff"):
        switch.cycle()
    assert bmc.resets == []


@pytest.mark.parametrize(
    ("allowed", "asked"),
    [
        (["On", "ForceOff", "PowerCycle"], ["PowerCycle"]),
        (["On", "ForceOff"], ["ForceOff", "On"]),
        (None, ["ForceRestart"]),
    ],
)
def test_only_what_the_bmc_allows_is_asked(
    bmc: FaultyBmc, switch: PowerDriver, allowed: list[str] | None, asked: list[str]
) -> None:
    bmc.system["Actions"]["#ComputerSystem.Reset"]["ResetType@Redfish.AllowableValues"] = allowed
    switch.cycle()
    assert bmc.resets == asked


def test_a_bmc_with_no_useful_reset_says_which_it_has(bmc: FaultyBmc, switch: PowerDriver) -> None:
    action = bmc.system["Actions"]["#ComputerSystem.Reset"]
    action["ResetType@Redfish.AllowableValues"] = ["Nmi"]
    with pytest.raises(DriverRefused, match="only Nmi"):
        switch.off()


@pytest.mark.slow
def test_an_off_that_does_nothing_is_caught(bmc: FaultyBmc, switch: PowerDriver) -> None:
    bmc.fault("POST", "Reset", "ignore")
    with pytest.raises(DriverError, match="still on"):
        switch.off()


# --- the override -----------------------------------------------------------------------------


@pytest.mark.slow
def test_an_override_that_is_taken_and_ignored_is_caught(
    bmc: FaultyBmc, switch: PowerDriver
) -> None:
    bmc.fault("PATCH", SYSTEM, "ignore")
    with pytest.raises(DriverError, match="took Pxe for the next boot, but shows None") as error:
        switch.boot_once()
    assert type(error.value) is DriverError and bmc.resets == []


@pytest.mark.slow
def test_an_override_that_shows_late_is_waited_for(bmc: FaultyBmc, switch: PowerDriver) -> None:
    old = dict(bmc.system)
    answer, looks = bmc.answer, 0

    def late(asked: Asked) -> Answer:
        nonlocal looks
        looks += bool(bmc.told("PATCH") and asked.method == "GET" and asked.path == SYSTEM)
        return Answer(200, old) if looks == 1 else answer(asked)

    bmc.answer = late  # type: ignore[method-assign]
    assert switch.boot_once().startswith("the BMC shows Pxe")
    assert looks == 2


@pytest.mark.parametrize("etag", ['"1"', 'W/"1"'])
def test_a_change_in_between_is_looked_at_again(etag: str) -> None:
    with FaultyBmc(mockups.lenovo()) as bmc:
        bmc.system["@odata.etag"] = etag
        bmc.fault("PATCH", "Systems/1$", refusal(412, "somebody was faster"))
        assert driver(bmc.settings).boot_once().startswith("the BMC shows Pxe")
        assert [asked.headers["if-match"] for asked in bmc.told("PATCH")] == [etag, etag]


def test_a_weak_etag_that_is_not_taken_is_sent_as_a_strong_one() -> None:
    def strict(asked: Asked, bmc: FaultyBmc) -> Answer | None:
        if asked.method != "PATCH":
            return None
        if asked.headers["if-match"].startswith("W/"):
            return refusal(412, "weak")
        bmc.system["Boot"].update(asked.body["Boot"])
        return Answer(204)

    with FaultyBmc(mockups.hpe(), rules=(strict,)) as bmc:
        bmc.system["@odata.etag"] = 'W/"1"'
        assert driver(bmc.settings).boot_once().startswith("the BMC shows Pxe")
        assert bmc.told("PATCH")[-1].headers["if-match"] == '"1"'


# --- what a BMC may not do to us (T074) ---------------------------------------------------------


def test_a_body_without_end_is_cut(bmc: FaultyBmc, switch: PowerDriver) -> None:
    bmc.fault("GET", SYSTEM, "endless")
    with pytest.raises(DriverRefused, match="more than 100000 bytes"):
        switch.state()


@pytest.mark.parametrize(
    "body",
    [b"[" * 90_000, b'{"a":' * 15_000, b"[1]", b"null", b"\xff", b"", b'{"a": ' + b"9" * 9999],
)
def test_what_is_no_json_object_is_an_error(
    bmc: FaultyBmc, switch: PowerDriver, body: bytes
) -> None:
    bmc.fault("GET", SYSTEM, Answer(200, body))
    with pytest.raises(DriverError, match="no JSON object"):
        switch.state()


LEADS_AWAY = [
    "http://169.254.169.254/latest/meta-data/", "//evil.example/redfish/v1/Systems/1",
    "/redfish/v1/../../etc/passwd", "/api/v1/secrets", "/redfish/v1/Sys\r\nX-Evil: 1", 7, None,
    "/redfish/v1/\\evil", "/redfish/" + "a" * 2000, "@evil.example/redfish/",
]  # fmt: skip


@pytest.mark.parametrize("away", LEADS_AWAY)
def test_links_lead_nowhere_else(bmc: FaultyBmc, switch: PowerDriver, away: object) -> None:
    bmc.resources["/redfish/v1/Systems"] = {"Members": [{"@odata.id": away}]}
    with pytest.raises(DriverRefused, match=r"leads away|has not one system"):
        switch.state()
    system_or_below = [asked.path for asked in bmc.told("GET")]
    assert system_or_below == ["/redfish/v1/", "/redfish/v1/Systems"]


@pytest.mark.parametrize("away", LEADS_AWAY[:5])
def test_actions_lead_nowhere_else(bmc: FaultyBmc, switch: PowerDriver, away: str) -> None:
    bmc.system["Actions"]["#ComputerSystem.Reset"]["target"] = away
    with pytest.raises(DriverRefused):
        switch.cycle()
    assert bmc.resets == []


@pytest.mark.parametrize(
    "away", ["http://127.0.0.1:1/redfish/v1/Systems", "//evil.example/redfish/"]
)
def test_redirects_to_elsewhere_are_not_followed(
    bmc: FaultyBmc, switch: PowerDriver, away: str
) -> None:
    bmc.fault("GET", "Systems$", Answer(302, None, {"Location": away}))
    with pytest.raises(DriverRefused, match="elsewhere"):
        switch.state()


def test_redirects_within_the_bmc_are_followed_and_no_loop(
    bmc: FaultyBmc, switch: PowerDriver
) -> None:
    bmc.fault("GET", "Systems$", Answer(308, None, {"Location": "/redfish/v1/Systems/"}))
    assert switch.state() is PowerState.ON
    loop = Answer(308, None, {"Location": f"{bmc.url}/redfish/v1/Systems"})
    bmc.fault("GET", "Systems$", loop, times=100)
    with pytest.raises(DriverError, match="308"):
        switch.state()
    assert len(bmc.told("GET")) < 20


def test_a_collection_without_end_is_left(bmc: FaultyBmc, switch: PowerDriver) -> None:
    page = {"Members": [], "Members@odata.nextLink": "/redfish/v1/Systems"}
    bmc.resources["/redfish/v1/Systems"] = page
    with pytest.raises(DriverRefused, match="on and on, after 61 requests"):
        switch.state()


def test_a_session_elsewhere_is_not_closed_there(bmc: FaultyBmc, switch: PowerDriver) -> None:
    foreign = {"X-Auth-Token": "token-of-the-session", "Location": "http://127.0.0.1:1/redfish/v1/"}
    bmc.fault("POST", "Sessions$", Answer(201, {}, foreign))
    assert switch.state() is PowerState.ON
    assert bmc.told("DELETE") == []


def test_terminal_escapes_from_a_bmc_are_shown_as_such(bmc: FaultyBmc, switch: PowerDriver) -> None:
    bmc.system.update(Manufacturer="De\x1b[2Jll", PowerState="\x1b]0;on\x07")
    assert switch.product().manufacturer == "De\\x1b[2Jll"
    with pytest.raises(DriverError, match=r"\\x1b\]0;on\\x07") as error:
        switch.cycle()
    assert error.value.message.isprintable()
    bmc.fault("GET", SYSTEM, refusal(404, "no\x1b[31m such thing"))
    with pytest.raises(DriverRefused) as error:
        switch.state()
    assert error.value.message.isprintable()


def test_a_refusal_that_passes_may_be_asked_again(bmc: FaultyBmc, switch: PowerDriver) -> None:
    info = [{"MessageId": "iLO.2.14.UnableToModifyDuringSystemPOST"}]
    during_post = Answer(400, {"error": {"@Message.ExtendedInfo": info}})
    bmc.fault("PATCH", SYSTEM, during_post, times=9)
    with pytest.raises(DriverError, match="UnableToModifyDuringSystemPOST") as error:
        switch.boot_once()
    assert type(error.value) is DriverError


def test_settings_that_are_named_and_not_there_do_no_harm(
    bmc: FaultyBmc, switch: PowerDriver
) -> None:
    bmc.system["@Redfish.Settings"] = {"SettingsObject": {"@odata.id": f"{SYSTEM}/Settings"}}
    assert switch.boot_once().startswith("the BMC shows Pxe")


def test_a_bmc_may_say_anything_where_text_is_meant(bmc: FaultyBmc, switch: PowerDriver) -> None:
    bmc.system.update(Manufacturer=["Dell"], Model={"a": 1}, PowerState=7, Boot="none")
    assert switch.state() is PowerState.UNKNOWN
    assert switch.product().model == ""
    with pytest.raises(DriverError):
        switch.cycle()
    bmc.resources["/redfish/v1"]["Links"] = []
    with pytest.raises(DriverError):
        switch.boot_once()


# --- who it is (T075) ---------------------------------------------------------------------------


def test_not_a_byte_of_a_password_before_the_certificate_is_known(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    with FaultyBmc(mockups.dell(), certificate=self_signed(mine)) as bmc:
        for verify in (True, {"ca": self_signed(other).pem}, {"fingerprint": "ab" * 32}):
            with pytest.raises(DriverRefused, match="not to be trusted"):
                driver({**bmc.settings, "verify": verify}).state()
        assert bmc.asked == []


def test_tls_towards_a_server_without_it_is_refused(bmc: FaultyBmc) -> None:
    url = bmc.url.replace("http:", "https:")
    with pytest.raises(DriverRefused, match="no TLS"):
        driver({**bmc.settings, "url": url}).state()
