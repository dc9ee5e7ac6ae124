"""Progress of an install, whatever the installer: a few stages and a percentage."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from deployer.core.text import Name


class Progress(BaseModel):
    """Our own progress message; text is kept as it came and escaped wherever it is shown."""

    model_config = ConfigDict(extra="ignore")

    stage: Name
    percent: float | None = Field(default=None, ge=0, le=100, allow_inf_nan=False)
    message: str = Field(default="", max_length=4000)
