"""What different installers say of their progress, in our words."""

from __future__ import annotations

from typing import Any

import pytest

from deployer.core.progress import Progress, translated


@pytest.mark.parametrize(
    ("body", "stage", "message"),
    [
        ({"stage": "writing", "percent": 40, "message": "x"}, "writing", "x"),
        (
            {"name": "subiquity/Install/install/curthooks", "event_type": "start",
             "description": "final system configuration", "origin": "curtin", "level": "INFO"},
            "curthooks", "final system configuration",
        ),
        (
            {"name": "modules-final/config-ssh keys", "event_type": "finish", "result": "SUCCESS"},
            "config-ssh-keys", "",
        ),
        ({"name": "///", "event_type": "start", "description": 7}, "installing", ""),
        ({"fqdn": "pve1.example", "disks": [], "boot-info": {}}, "finishing",
         "Proxmox has installed the system"),
    ],
)  # fmt: skip
def test_an_installers_message_has_a_stage(body: dict[str, Any], stage: str, message: str) -> None:
    progress = Progress.model_validate(translated(body))
    assert (progress.stage, progress.message) == (stage, message)


def test_what_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="stage"):
        Progress.model_validate(translated({"state": "fine"}))
