"""`deployer chat`: link oneself to a chat, see who is linked, and try a chat without one."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployer.cli import output
from deployer.cli.connection import connect
from deployer.cli.options import AsJson
from deployer.core.chat import Bar, Button, Message, Tone, plain_text

if TYPE_CHECKING:
    from deployer.cli.client import Client

app = typer.Typer(no_args_is_help=True, help="Chats: link yourself, see who is linked, try one.")

_POLL_SECONDS = 2.0
Json = dict[str, Any]


@app.command()
def link(ctx: typer.Context) -> None:
    """A code, good for ten minutes, to be said to the bot: from then on you are you there."""
    with connect(ctx) as api:
        made = api.send("POST", "/chat/links", {})
    output.say(f"say this to the bot, within ten minutes:  link {made['code']}")


@app.command()
def people(ctx: typer.Context, json: AsJson = False) -> None:
    """Who is linked, and whose token they speak by."""
    with connect(ctx) as api:
        found = list(api.items("/chat/people"))
    if json:
        output.show_list(found)
        return
    if not found:
        output.say("nobody is linked yet: `deployer chat link`")
        return
    made = output.table("platform", "tenant", "user", "shown as", "token", "role", "since")
    for row in found:
        cells = ("platform", "tenant", "user", "shown", "token", "role")
        made.add_row(*(output.safe(row[cell]) for cell in cells), row["linked_at"][:10])
    output.show(made)


@app.command()
def unlink(
    ctx: typer.Context,
    platform: Annotated[str, typer.Argument(metavar="PLATFORM")],
    user: Annotated[str, typer.Argument(metavar="USER")],
    tenant: Annotated[str, typer.Option(help="Workspace, guild or team.")] = "",
) -> None:
    """Whoever this is may do nothing any more from that chat."""
    with connect(ctx) as api:
        api.send("DELETE", "/chat/people", params={
            "platform": platform, "user": user, "tenant": tenant,
        })  # fmt: skip
    output.say(output.safe(f"{user} on {platform} is not linked any more"))


@app.command("try")
def try_(ctx: typer.Context) -> None:
    """A chat here in the terminal: the same language, confirmations and threads as everywhere.

    A button is pressed by its number. Leave with an empty line or Ctrl-D.
    """
    with connect(ctx) as api:
        talk = _Talk(api)
        output.say("Say `help`, or `reinstall HOST as PROFILE`. An empty line ends it.")
        watcher = threading.Thread(target=talk.watch, daemon=True)
        watcher.start()
        try:
            talk.listen()
        finally:
            talk.over.set()
            watcher.join(_POLL_SECONDS + 1)


class _Talk:
    """One conversation: what is typed, answered, and told of deployments meanwhile."""

    def __init__(self, api: Client) -> None:
        self.api, self.over = api, threading.Event()
        self.guard = threading.Lock()
        self.buttons: list[Button] = []
        self.shown: dict[str, str] = {
            each["deployment"]["id"]: _progress(each["message"]) for each in self._threads()
        }

    def listen(self) -> None:
        while text := self._typed():
            number = int(text) if text.isascii() and text.isdigit() else 0
            if 0 < number <= len(self.buttons):
                text = self.buttons[number - 1].says
            message = _message(self._send(text)["message"])
            self.buttons = list(message.buttons)
            self._show(message)
        self.news()

    def _typed(self) -> str:
        try:
            return input("you> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            return ""

    def _send(self, text: str) -> Json:
        with self.guard:
            answer: Json = self.api.send("POST", "/chat/say", {"text": text})
            return answer

    def _threads(self) -> list[Json]:
        with self.guard:
            return list(self.api.items("/chat/threads"))

    def watch(self) -> None:
        while not self.over.wait(_POLL_SECONDS):
            self.news()

    def news(self) -> None:
        """What changed about the deployments that were asked for here."""
        for each in reversed(self._threads()):
            id_, looks = each["deployment"]["id"], _progress(each["message"])
            if self.shown.get(id_) != looks:
                self.shown[id_] = looks
                message = _message(each["message"])
                self.buttons = list(message.buttons) or self.buttons
                self._show(message)

    def _show(self, message: Message) -> None:
        numbered = tuple(
            Button(f"{number} {button.label}", button.says, button.danger)
            for number, button in enumerate(message.buttons, 1)
        )
        shown = Message(
            message.title, message.tone, message.lines, message.facts, message.bar, message.types,
            numbered,
        )  # fmt: skip
        output.say(output.safe(plain_text(shown)))
        output.say("")


def _progress(message: Json) -> str:
    """What is worth a new print: not the seconds that went by."""
    facts = [value for name, value in message["facts"] if name == "stage"]
    return f"{message['title']} {message['bar']} {facts}"


def _message(said: Json) -> Message:
    return Message(
        said["title"], Tone(said["tone"]), tuple(said["lines"]),
        tuple((name, value) for name, value in said["facts"]),
        Bar(said["bar"]["percent"]) if said["bar"] else None, tuple(said["types"]),
        tuple(Button(**button) for button in said["buttons"]),
    )  # fmt: skip
