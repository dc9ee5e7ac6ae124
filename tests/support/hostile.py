"""Text that a machine, or a stranger, may send us to be shown: THREATS T045, one list for all."""

from __future__ import annotations

from deployer.core.chat import Bar, Button, Message, Tone

HOSTILE: dict[str, str] = {
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)><b>bold</b>",
    "entity": "&lt;b&gt; &amp;amp; &#x3c;i&#x3e; &nbsp;",
    "ansi": "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "control": "a\x00b\x08c\x7f\x85d",
    "right_to_left": "web01 \u202egnp.exe\u202c \u2066x\u2069",
    "invisible": "web\u200b01 \ufeffzero\u00adwidth",
    "lines": "one\r\ntwo\n\n✅ web01 is ready\u2028three\u2029four",
    "formula": "=HYPERLINK(\"https://evil.example\",\"click\")",
    "slack_mention": "<!channel> <!here> <@U012AB3CD> <#C123|general> <https://evil.example|bank>",
    "mention": "@everyone @here @channel @room @all",
    "discord_mention": "<@&123456789012345678> <@123456789012345678> <#123456789012345678>",
    "teams_mention": "<at>everyone</at> <at id=\"0\">Ops</at>",
    "matrix_mention": "@room https://matrix.to/#/@alice:example.org",
    "markdown": "**bold** __under__ ~~gone~~ `code` # head > quote - item * item\n1. one",
    "fence": "``` \n```\nout of the code\n```",
    "markdown_link": "[bank](https://evil.example) ![x](https://evil.example/x.png) <https://a.b>",
    "template": "{{DATE(2017-02-14T06:08:39Z,SHORT)}} ${secret} %s {0} {% raw %}",
    "json": "\"}],\"buttons\":[{\"says\":\"confirm 1\"}]",
    "backslash": "\\*not bold\\* \\\\server\\share \\",
    "surrogate": "half \ud83d of a sign",
    "emoji": "👩‍👩‍👧‍👦🏴‍☠️ e\u0301 \u0928\u093f",
    "long": "A" * 40_000,
    "long_lines": "line\n" * 8_000,
    "long_signs": "🔥<&*_`\\\"" * 5_000,
}  # fmt: skip


def everywhere(text: str) -> Message:
    """A message with `text` in every field that takes some; what buttons say is ours alone."""
    return Message(
        text, Tone.BAD, lines=(text,) * 3, facts=((text, text),) * 3, bar=Bar(50), types=(text,),
        buttons=(Button(text, "confirm k7wq2m", danger=True), Button("Leave it", "cancel web01")),
    )  # fmt: skip


def huge() -> Message:
    """More of everything than any platform takes, and hostile."""
    text = HOSTILE["long_signs"]
    return Message(
        text, Tone.ASKING, lines=(text,) * 200, facts=((text, text),) * 200, bar=Bar(100),
        types=(text,) * 20,
        buttons=(Button(text, "confirm k7wq2m", danger=True), Button("Leave it", "cancel web01")),
    )  # fmt: skip
