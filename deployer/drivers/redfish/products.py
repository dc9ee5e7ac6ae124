"""What is peculiar to a vendor's BMC, from products.yaml. No other file knows a vendor's name."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter


def _expression(text: str) -> str:
    re.compile(text)
    return text


Expression = Annotated[str, AfterValidator(_expression)]
# Of a property of an override: always sent, only when it is to change, or never.
Sending = Literal["send", "change", "leave"]


class Product(BaseModel):
    """The defaults are the standard's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "any other"
    # Expressions for ComputerSystem.Manufacturer and .Model, and for ServiceRoot.Vendor/.Product.
    manufacturer: Expression = ""
    model: Expression = ""
    product: Expression = ""
    enabled: Sending = "send"
    mode: Sending = "change"
    # Boot targets that mean the virtual CD, and slots that can hold one; the first that is there.
    media_targets: list[str] = ["Cd"]
    media_slots: Expression = ""
    # What restarts a machine that runs, and starts one that does not; the best first.
    restart: list[str] = ["ForceRestart", "PowerCycle"]
    start: list[str] = ["On", "ForceOn", "PushPowerButton"]
    note: str = ""
    seen: str = ""


@cache
def known() -> tuple[Product, ...]:
    text = Path(__file__).with_name("products.yaml").read_text(encoding="utf-8")
    return tuple(TypeAdapter(list[Product]).validate_python(yaml.safe_load(text)))


def find(manufacturer: str, model: str, product: str) -> Product:
    """The first entry that fits, else the standard."""
    for entry in known():
        asked = [(entry.manufacturer, manufacturer), (entry.model, model), (entry.product, product)]
        if all(re.search(expression, said, re.IGNORECASE) for expression, said in asked):
            return entry
    return Product()
