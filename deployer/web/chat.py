"""Chat platforms call here: raw bytes, a signature, and little time.

Whoever speaks is told something within the platform's three seconds; what takes longer follows.
Threads of their own, so that a flood of commands keeps nobody else waiting (THREATS T100).
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from starlette.responses import Response as HttpResponse

from deployer.core.chat import Message, Tone
from deployer.drivers.chat.base import Heard, Request, Response
from deployer.errors import Conflict
from deployer.observe import log
from deployer.services.chat.hear import Ear, Ears, say_late
from deployer.web.http import NO_STORE

BODY_LIMIT = 64 * 1024
# Few: threads of one interpreter that all compute keep its event loop, and so machines that boot,
# waiting for their turn. Four and two made a flood three times as slow, and boots eight times.
_AT_ONCE = 2
# Platforms hang up after three seconds, and the way there and back is theirs as well.
_PATIENCE = 2.0
_BROKEN = Message("I could not do that; my log says why.", Tone.BAD)

router = APIRouter(prefix="/chat", include_in_schema=False)


class Chats:
    """The people's side's ears, and the threads that work on what they hear."""

    def __init__(self, ears: Ears) -> None:
        self.ears = ears
        # Apart, so that what takes long keeps nobody from being heard.
        self.hearing = ThreadPoolExecutor(1, "chat-hearing")
        self.work = ThreadPoolExecutor(_AT_ONCE, "chat")
        self.late = ThreadPoolExecutor(_AT_ONCE, "chat-late")


@router.post("/{platform}")
async def heard(platform: str, request: HttpRequest) -> HttpResponse:
    """What a platform brings; 401 when it is not signed."""
    chats: Chats = request.app.state.chats
    headers = {name.lower(): value for name, value in request.headers.items()}
    raw = Request(headers, await request.body())
    loop = asyncio.get_running_loop()
    until = loop.time() + _PATIENCE  # whoever waits to be heard waits already
    ear, said = await loop.run_in_executor(chats.hearing, chats.ears.hear, platform, raw)
    if isinstance(said, Response):
        return _http(said)
    turn = _Turn(chats, ear, said)
    work = asyncio.wrap_future(chats.work.submit(turn.work))
    done, _ = await asyncio.wait([work], timeout=max(0, until - loop.time()))
    if not done and turn.is_over_for("platform"):
        return _http(ear.driver.working(said))
    response = await work
    if response is None:
        if ear.driver.repeats:
            return HttpResponse(headers=NO_STORE)
        raise Conflict("this was heard before, and is done once")
    return _http(response)


class _Turn:
    """One thing heard and answered: at once, or late. Whoever is first decides which."""

    def __init__(self, chats: Chats, ear: Ear, said: Heard) -> None:
        self.chats, self.ear, self.said = chats, ear, said
        self._guard = threading.Lock()
        self._first: str | None = None

    def is_over_for(self, whom: str) -> bool:
        """True when `whom`, the platform that waits or our work, is the first to ask."""
        with self._guard:
            self._first = self._first or whom
            return self._first == whom

    def work(self) -> Response | None:
        """The answer at once; None when there is none, or when it is late."""
        message = self._message()
        if not self.is_over_for("us"):
            self.chats.late.submit(self._late, message)
            return None
        if message is None:
            return None
        if not self.ear.driver.answers_at_once(self.said):
            self.chats.late.submit(self._late, message)
            return self.ear.driver.working(self.said)
        return self.ear.driver.answer(self.said, message)

    def _message(self) -> Message | None:
        try:
            return self.chats.ears.answer(self.ear, self.said)
        except Exception:  # a fault of ours; whoever asked hears that much
            log.error("chat_crashed", receiver=self.ear.receiver, exc_info=True)
            return _BROKEN

    def _late(self, message: Message | None) -> None:
        if message is not None:
            say_late(self.ear, self.said, message)


def _http(response: Response) -> HttpResponse:
    return HttpResponse(response.body, response.status, NO_STORE, response.content_type)
