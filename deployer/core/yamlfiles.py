"""YAML as operators write it: safe types only, one meaning per key, errors with a line."""

from __future__ import annotations

from typing import Any

import yaml

from deployer.errors import Invalid


# libyaml reads ten times as fast, and every start reads all families; PyYAML may be without it.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]
    """SafeLoader that refuses a key written twice; PyYAML keeps the last one in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, list | dict | set):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a word, not a list or mapping", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is written twice", key_node.start_mark
                )
            seen.add(key)
        pairs: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return pairs


def load_all(text: str, file: str) -> list[Any]:
    """Every document in `text`; Invalid names file, line and remedy. Aliases are refused."""
    try:
        for token in yaml.scan(text, Loader=_Loader):
            if isinstance(token, yaml.AliasToken):
                raise Invalid(
                    f"{file}, line {token.start_mark.line + 1}: aliases (*name) are not accepted",
                    remedy="write the value out",
                )
        return [doc for doc in yaml.load_all(text, Loader=_Loader) if doc is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}, line {mark.line + 1}" if mark else file
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise Invalid(f"{where}: {problem}", remedy="correct the YAML there") from None
    except RecursionError:
        raise Invalid(f"{file}: nested too deeply", remedy="flatten it") from None
    except (ValueError, TypeError, OverflowError) as error:
        # PyYAML believes that anything like a date or number is one: 2024-13-45, 0x_.
        raise Invalid(f"{file}: {error}", remedy="put such a value into quotes") from None


def load_one(text: str, file: str) -> Any:
    """The single document in `text`; Invalid when there is none or more."""
    documents = load_all(text, file)
    if len(documents) != 1:
        raise Invalid(f"{file}: expected one YAML document, found {len(documents)}", remedy="")
    return documents[0]
