"""Ready arms: the methods that the literature compares, each as the nearest real thing that this project runs.

Their `about` says in a line what each really is; docs/experiments.md tells more.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from qstar_core.configload import merge, read_yaml
from qstar_core.records import JsonObject

HERE = Path(__file__).parent


@cache
def _packaged() -> JsonObject:
    return read_yaml(HERE / "arms.yaml")


def ready_arm_names() -> tuple[str, ...]:
    return tuple(_packaged())


def ready_arms(given: object) -> object:
    """A list of names, or a mapping whose values may be empty or have `like`, with the ready arms filled in. What is
    no such thing is left for the settings to refuse."""
    if isinstance(given, list | tuple):
        if not all(isinstance(name, str) for name in given):
            raise ValueError("a list of arms holds names; a mapping says more of each")
        if len(set(given)) < len(given):
            raise ValueError("the list names an arm twice")
        given = dict.fromkeys(given)
    if not isinstance(given, Mapping):
        return given
    return {name: _filled(str(name), value) for name, value in given.items()}


def _filled(name: str, value: Any) -> Any:
    if not isinstance(value, Mapping | None):
        return value
    asked: JsonObject = dict(value or {})
    like = asked.pop("like", name if name in _packaged() or not asked else None)
    if like is None:
        return asked
    if not isinstance(like, str) or like not in _packaged():
        raise ValueError(f"there is no ready arm {str(like)!r:.60}; take one of {', '.join(_packaged())}, or say what "
                         "it is with data and settings")
    found: JsonObject = {**_packaged()[like]}
    if like != name:
        found.pop("label", None)
    merge(found, asked)
    return found
