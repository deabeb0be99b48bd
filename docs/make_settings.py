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
from qstar_core.records import JsonObject

HEAD = """# All settings

Made by `docs/make_settings.py`; do not edit it by hand. How to set them: [configuration.md](configuration.md).

| setting | type | default | what it is for |
|---|---|---|---|
"""
NAMES = {int: "integer", float: "number", bool: "true or false", str: "text", JsonObject: "mapping"}


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
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        *names, last = (f"`{name}`" for name in annotation.model_fields)
        return f"{', '.join(names)} and {last}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f"`{choice.value}`" for choice in annotation)
    return NAMES[annotation]


def default(value: Any) -> str:
    if value in (None, "", ()):
        return "empty"
    items = value if isinstance(value, tuple) else ()
    plain = [item.model_dump(mode="json", exclude_none=True) if isinstance(item, BaseModel) else item
             for item in items] if items else value
    return f"`{plain if isinstance(plain, str) else json.dumps(plain)}`"


def page() -> str:
    rows = ((f"`{name}`", kind(type_), default(value), about) for name, type_, value, about in leaves(Settings()))
    return HEAD + "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
