"""Prints docs/settings.md: every setting with its type, its default and what it is for.

    python docs/make_settings.py > docs/settings.md
"""

import json
import types
import typing
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel

from qstar_core.config import Settings
from qstar_core.recipes import RECIPES, RewardSettings, RlhfSettings, Training
from qstar_core.records import JsonObject

HEAD = """# All settings

Made by `docs/make_settings.py`; do not edit it by hand. How to set them: [configuration.md](configuration.md).
"""
TRAINING = """
## Training

The block `training` has `recipe` (`sft` where it is left out) and what follows. When which recipe is of use:
[training.md](training.md).
"""
HEADING = """
| setting | type | default | what it is for |
|---|---|---|---|
"""
NAMES = {int: "integer", float: "number", bool: "true or false", str: "text", JsonObject: "mapping",
         RewardSettings: "mapping", RlhfSettings: "mapping"}


def leaves(section: BaseModel, prefix: str = "", told: str = "") -> Iterator[tuple[str, Any, Any, str]]:
    """Name, type, default and description; the two ends of a range are told by the range's own description."""
    for name, field in type(section).model_fields.items():
        value, about = getattr(section, name), field.description or ""
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{prefix}{name}.", about)
        else:
            yield f"{prefix}{name}", field.annotation, value, about or f"{told}: the {name}est that passes"


def kind(annotation: Any) -> str:
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        return " or ".join("empty" if part is type(None) else kind(part) for part in inside)
    if origin is typing.Literal:
        return " or ".join(f"`{choice}`" for choice in inside)
    if origin is tuple:
        return f"list of {kind(inside[0])}"
    if origin in (dict, Mapping):
        return "mapping"
    if origin is typing.Annotated:
        return kind(inside[0])
    if annotation in NAMES:
        return NAMES[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Training):
        return f"`{annotation.model_fields['recipe'].default}`"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        *names, last = (f"`{name}`" for name in annotation.model_fields)
        return f"{', '.join(names)} and {last}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f"`{choice.value}`" for choice in annotation)
    raise KeyError(annotation)


def default(value: Any) -> str:
    if value in (None, "", ()):
        return "empty"
    items = value if isinstance(value, tuple) else ()
    plain = [item.model_dump(mode="json", exclude_none=True) if isinstance(item, BaseModel) else item
             for item in items] if items else value
    return f"`{plain if isinstance(plain, str) else json.dumps(plain)}`"


def page() -> str:
    common = table(leaves(Settings())) + TRAINING + HEADING + table(leaves(Training(), "training."))
    return HEAD + HEADING + common + "".join(
        f"\n### Recipe `{name}`\n\n{about(kind_)}\n{HEADING}" + table(own_leaves(kind_))
        for name, kind_ in RECIPES.items())


def table(rows: Iterator[tuple[str, Any, Any, str]]) -> str:
    lines = ((f"`{name}`", kind(type_), default(value), about_) for name, type_, value, about_ in rows)
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in lines)


def about(recipe: type[Training]) -> str:
    return " ".join((recipe.__doc__ or "").split())


def own_leaves(recipe: type[Training]) -> Iterator[tuple[str, Any, Any, str]]:
    """What the recipe has beside the common settings, or with another default."""
    common = {name: value for name, _, value, _ in leaves(Training(), "training.")}
    for name, type_, value, told in leaves(recipe(), "training."):
        if name != "training.recipe" and (name not in common or common[name] != value):
            yield name, type_, value, told


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
