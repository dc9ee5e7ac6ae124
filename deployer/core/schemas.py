"""JSON Schemas of the files that people write, so that an editor can complete and correct them.

Made of the models that read these files. What only a model can judge (a key that is no SSH key, two
volumes of one name) an editor does not see; `deployer apply` and the start of the service do.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import TypeAdapter

from deployer.core.effects import KINDS
from deployer.core.families import Family
from deployer.core.inventory import HostSpec
from deployer.core.profiles import ProfileSpec
from deployer.core.receivers import ReceiverSpec
from deployer.core.workflows import Workflow

Json = dict[str, Any]


class HostFile(HostSpec):
    """A host, as `deployer apply` reads it."""

    kind: Literal["host"]


class ProfileFile(ProfileSpec):
    """A profile, as `deployer apply` reads it."""

    kind: Literal["profile"]


class ReceiverFile(ReceiverSpec):
    """A receiver, as `deployer apply` reads it."""

    kind: Literal["receiver"]


_KINDS = {"host": "HostFile", "profile": "ProfileFile", "receiver": "ReceiverFile"}


def fleet() -> Json:
    """A document of a file that `deployer apply` takes: a host, a profile or a receiver."""
    parts = TypeAdapter(HostFile | ProfileFile | ReceiverFile).json_schema()["$defs"]
    own = parts["AnswerFile"]
    own["properties"]["file"] = {"type": "string", "description": "a file beside this one"}
    own["oneOf"] = [{"required": ["content"]}, {"required": ["file"]}]
    del own["required"]
    # By its kind, so that an editor tells what is wrong with this host, and not that it is neither.
    each = [
        {"if": {"properties": {"kind": {"const": kind}}}, "then": {"$ref": f"#/$defs/{model}"}}
        for kind, model in _KINDS.items()
    ]
    made = {"type": "object", "properties": {"kind": {"enum": list(_KINDS)}}, "required": ["kind"]}
    return _titled({**made, "allOf": each, "$defs": parts}, "A document of `deployer apply`")


def workflow() -> Json:
    """A file in workflows/; `with` is judged by what the effect takes."""
    made = Workflow.model_json_schema()
    step = made["$defs"]["Step"]
    step["properties"]["do"] = {"enum": list(KINDS)}
    step["properties"]["with"] = {"type": "object"}
    step["oneOf"] = [{"required": ["do"]}, {"required": ["say"]}]
    step["allOf"] = []
    for name, kind in KINDS.items():
        taken = kind.takes.model_json_schema()
        made["$defs"] |= taken.pop("$defs", {})
        needs = ["with"] if taken.get("required") else []
        step["allOf"].append({
            "if": {"properties": {"do": {"const": name}}, "required": ["do"]},
            "then": {"properties": {"with": taken}, "required": needs},
        })  # fmt: skip
    return _titled(made, "A workflow of Deployer")


def family() -> Json:
    """A family.yaml; it is called as its folder."""
    made = Family.model_json_schema()
    del made["properties"]["name"]
    made["required"].remove("name")
    for name in ("Initrd", "Taken"):  # a path alone is short for {path: ...}
        made["$defs"][name] = {"anyOf": [{"type": "string"}, made["$defs"][name]]}
    return _titled(made, "An OS family of Deployer")


def _titled(schema: Json, title: str) -> Json:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


SCHEMAS = {"fleet": fleet, "workflow": workflow, "family": family}
