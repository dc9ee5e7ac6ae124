"""Chat platforms call here: raw bytes, a signature, and little time.

Whoever speaks is told something within the platform's three seconds; what takes longer follows.
Threads of their own, so that a flood of commands keeps nobody else waiting (THREATS T100).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from starlette.responses import Response as HttpResponse

from deployer.core.chat import Message, Tone
from deployer.drivers.chat.base import Heard, Request, Response
from deployer.errors import Conflict, DeployerError
from deployer.observe import log
from deployer.services.chat.hear import Ear, Ears
from deployer.web.http import NO_STORE

BODY_LIMIT = 64 * 1024
_AT_ONCE = 4
# Platforms hang up after three seconds, and the way there and back is theirs as well.
_PATIENCE = 2.0
_BROKEN = Message("I could not do that; my log says why.", Tone.BAD)

router = APIRouter(prefix="/chat", include_in_schema=False)


class Chats:
    """The people's side's ears, and the threads that work on what they hear."""

    def __init__(self, ears: Ears) -> None:
        self.ears = ears
        # Apart, so that what takes long keeps nobody from being heard.
        self.hearing = ThreadPoolExecutor(2, "chat-hearing")
        self.work = ThreadPoolExecutor(_AT_ONCE, "chat")


@router.post("/{platform}")
async def heard(platform: str, request: HttpRequest) -> HttpResponse:
    """What a platform brings; 401 when it is not signed."""
    chats: Chats = request.app.state.chats
    headers = {name.lower(): value for name, value in request.headers.items()}
    raw = Request(headers, await request.body())
    loop = asyncio.get_running_loop()
    ear, said = await loop.run_in_executor(chats.hearing, chats.ears.hear, platform, raw)
    if isinstance(said, Response):
        return _http(said)
    work = chats.work.submit(_answered, chats.ears, ear, said)
    done, _ = await asyncio.wait([asyncio.wrap_future(work)], timeout=_PATIENCE)
    if not done:
        work.add_done_callback(lambda finished: _late(ear, said, finished))
        return _http(ear.driver.working(said))
    message = work.result()
    if message is None:
        if ear.driver.repeats:
            return HttpResponse(headers=NO_STORE)
        raise Conflict("this was heard before, and is done once")
    if not ear.driver.answers_at_once(said):
        chats.work.submit(_late, ear, said, work)
        return _http(ear.driver.working(said))
    return _http(ear.driver.answer(said, message))


def _answered(ears: Ears, ear: Ear, said: Heard) -> Message | None:
    try:
        return ears.answer(ear, said)
    except DeployerError:
        raise
    except Exception:
        log.error("chat_crashed", receiver=ear.receiver, exc_info=True)
        return _BROKEN


def _late(ear: Ear, said: Heard, work: Future[Message | None]) -> None:
    try:
        message = work.result()
        if message is not None:
            ear.driver.answer_late(said, message)
    except DeployerError as error:
        log.warning("chat_failed", receiver=ear.receiver, error=error.message)


def _http(response: Response) -> HttpResponse:
    return HttpResponse(response.body, response.status, NO_STORE, response.content_type)
