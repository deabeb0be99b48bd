"""Settings from a YAML file, the environment and flags, in that order of increasing strength.

An environment variable `QSTAR__SAMPLING__TEMPERATURE=0.7` sets `sampling.temperature`; flags arrive as dotted names.
Every mistake ends in one line that names the key, the value, and what was expected.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from qstar_core.config import Settings
from qstar_core.errors import ConfigError
from qstar_core.records import JsonObject

ENV_PREFIX = "QSTAR__"
_LONGEST = 120
# What reading YAML may raise: ValueError for a date such as 2026-13-45, the others for odd keys and endless nesting.
UNREADABLE = (yaml.YAMLError, ValueError, TypeError, RecursionError)


class _StrictLoader(yaml.SafeLoader):
    """A key that is written twice is a mistake, not the second value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.value != "<<":
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} occurs twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_settings(path: Path | None = None, env: Mapping[str, str] | None = None,
                  flags: Mapping[str, Any] | None = None) -> Settings:
    merged: JsonObject = Settings().model_dump()  # so that one bound of a range may be set alone
    merge(merged, read_yaml(path) if path else {})
    merge(merged, _nested(_from_environment(env or {})))
    merge(merged, _nested(flags or {}))
    return validated(merged)


def validated(values: JsonObject) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(*_explain(error)) from None


def read_yaml(path: Path) -> JsonObject:
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except FileNotFoundError:
        raise ConfigError(f"no settings file at {path}", "`qstar config show` prints one to start from") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}", "give a readable YAML file in UTF-8") from None
    except UNREADABLE as error:
        raise ConfigError(f"{path} is not YAML: {error}", "mend the line it names") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{path} holds a {type(value).__name__}", "write `key: value` lines at its top level")
    return value


def setting_names(model: type[BaseModel] = Settings, prefix: str = "") -> Iterable[str]:
    """Every dotted name that a flag or an environment variable may set."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from setting_names(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    """Values are read as YAML scalars, so `true`, `3` and `[a, b]` mean what they mean in a file. Empty means unset."""
    found: dict[str, Any] = {}
    for variable, text in env.items():
        if variable.startswith(ENV_PREFIX) and text:
            try:
                found[variable[len(ENV_PREFIX):].lower().replace("__", ".")] = yaml.safe_load(text)
            except UNREADABLE:
                raise ConfigError(f"{variable}={text!r} cannot be read", "quote it as YAML would need it") from None
    return found


def _nested(dotted: Mapping[str, Any]) -> JsonObject:
    tree: JsonObject = {}
    for name, value in sorted(dotted.items(), key=lambda item: item[0]):  # a section before what is in it
        *parents, leaf = name.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ConfigError(f"setting {parent} = {node!r} contradicts {name}", "set one of the two")
        node[leaf] = dict(value) if isinstance(value, dict) else value
    return tree


def merge(base: JsonObject, stronger: JsonObject) -> None:
    """Lays one tree over the other, which is changed; sections are joined, anything else is replaced."""
    for key, value in stronger.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            base[key] = {**base[key]}  # an anchor in the file may have put the same section elsewhere too
            merge(base[key], value)
        else:
            base[key] = value


def _explain(error: ValidationError) -> tuple[str, str]:
    """The first mistake, told in the words of the settings file."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        names = list(setting_names())
        sections = {name.rpartition(".")[0] for name in names} - {""}
        close = difflib.get_close_matches(key, [*names, *sorted(sections)], n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else "`qstar config schema` lists the settings"
        return f"unknown setting {key} = {shown(first['input'])}{more}", hint
    if first["type"] == "missing":
        return f"setting {key} is missing{more}", "give it a value"
    expected = str(first["msg"]).removeprefix("Value error, ")
    where = f"setting {key}" if key else "the whole of the settings"
    if isinstance(first["input"], Mapping):  # a section: what is wrong with it is told by the fix
        return f"{where} is wrong{more}", expected
    return f"{where} = {shown(first['input'])} is wrong{more}", expected


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
