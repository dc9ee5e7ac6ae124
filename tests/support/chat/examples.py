"""Three messages that every platform shows: what a person sees on an ordinary and on a bad day."""

from __future__ import annotations

from deployer.core.chat import Bar, Button, Message, Tone

EXAMPLES: dict[str, Message] = {
    "asking": Message(
        "Reinstall web01 as debian-12-web?",
        Tone.ASKING,
        lines=(
            "Everything on its disk is lost.",
            "The code is good for five minutes, and for you.",
        ),
        facts=(("host", "web01"), ("profile", "debian-12-web"), ("now", "ready since 3 days")),
        buttons=(
            Button("Reinstall web01", "confirm k7wq2m", danger=True),
            Button("Leave it", "cancel web01"),
        ),
    ),
    "under_way": Message(
        "web01 becomes debian-12-web",
        Tone.WORKING,
        lines=("Installing: packages are being unpacked.",),
        facts=(("stage", "installing"), ("since", "4 min 10 s"), ("likely left", "3 min")),
        bar=Bar(58),
        buttons=(Button("Cancel", "cancel web01"),),
    ),
    "failed": Message(
        "web01 failed: the installer never called",
        Tone.BAD,
        lines=(
            "It was told to boot from the network, and its boot script was fetched.",
            "Likely: the kernel has no driver for the NIC.",
        ),
        facts=(("stage", "booting"), ("waited", "15 min"), ("last seen", "GET /boot/ipxe")),
        types=("deployer explain web01",),
        buttons=(Button("Why?", "why web01"), Button("Try again", "retry web01")),
    ),
}
