"""Progress of an install, whatever the installer: a stage, perhaps a percentage, a message."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from deployer.core.text import Name


class Progress(BaseModel):
    """Our own progress message; text is kept as it came and escaped wherever it is shown."""

    model_config = ConfigDict(extra="ignore")

    stage: Name
    percent: float | None = Field(default=None, ge=0, le=100, allow_inf_nan=False)
    message: str = Field(default="", max_length=4000)


def translated(body: dict[str, Any]) -> dict[str, Any]:
    """Other installers' messages in our words; our own, and what nobody knows, as they are.

    Subiquity, curtin and cloud-init post `name`, `event_type` and `description`
    (cloud-init's "reporting" webhook); Proxmox posts facts of the finished system, with `fqdn`.
    """
    if "stage" in body:
        return body
    if isinstance(body.get("name"), str) and "event_type" in body:
        # "subiquity/Install/install/curthooks": the last part says what is being done.
        stage = re.sub(r"[^A-Za-z0-9._-]+", "-", body["name"].rsplit("/", 1)[-1]).strip("-._")
        text = body.get("description")
        message = text[:4000] if isinstance(text, str) else ""
        return {"stage": stage[:100] or "installing", "message": message}
    if "fqdn" in body and "disks" in body:
        return {"stage": "finishing", "message": "Proxmox has installed the system"}
    return body
