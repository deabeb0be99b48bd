"""Every setting as a flag: `--sampling.temperature 0.7`, made from the settings themselves so that none is missing."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click as plain
import rich_click as click
import yaml
from click import get_current_context
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from flows.packaged import ready_configs
from qstar_core.config import Settings
from qstar_core.configload import UNREADABLE
from qstar_core.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])

# Names that users of the older sampler know.
OLDER_NAMES = {
    "student.model": "--model_theta", "teacher.model": "--model_t", "source.path": "--dataset",
    "round.prompts": "--num_samples", "engine.batch_size": "--batch_size", "engine.dtype": "--dtype",
    "alpha.method": "--alpha_method", "alpha.fixed": "--fixed_alpha", "source.start": "--start_idx",
    "engine.diagnostics": "--save_diagnostics", "source.prompt_field": "--prompt_field",
    "source.adapter": "--dataset_adapter",
}
# Short names that every command with settings knows.
SHORT_NAMES = {"source.adapter": "--schema"}
_FLAG_OPTIONS = "settings"


class SettingsCommand(plain.Command):
    """A command with a flag for every setting; its help lists them by section, and never cuts a name."""

    def format_options(self, ctx: plain.Context, formatter: plain.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                name = parameter.opts[0].removeprefix("--")
                sections.setdefault(name.partition(".")[0] if "." in name else "Options", []).append(record)
        for section, records in sections.items():
            with formatter.section(section):
                formatter.write_dl(records)


def setting_flags(older_names: bool = False) -> Callable[[F], F]:
    """Adds one option a setting; those that were given arrive in the context's `meta`, as read by `given_flags`."""

    def decorate(function: F) -> F:
        taken = set(OLDER_NAMES.values()) if older_names else set()
        for name, field in reversed(list(_leaves(Settings))):
            if f"--{name}" not in taken:
                function = _option(name, field, older_names)(function)
        return function

    return decorate


def given_flags() -> dict[str, Any]:
    """The settings that were set by a flag, by dotted name."""
    return dict(get_current_context().meta.get(_FLAG_OPTIONS, {}))


def _option(name: str, field: FieldInfo, older_names: bool) -> Callable[[F], F]:
    older = OLDER_NAMES.get(name) if older_names else None
    names = [f"--{name}", *([SHORT_NAMES[name]] if name in SHORT_NAMES else []), *([older] if older else [])]
    parameter = name.replace(".", "__")

    def remember(context: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            context.meta.setdefault(_FLAG_OPTIONS, {})[name] = _read(name, field, value)

    # Older callers write `--save_diagnostics` without a value.
    bare: dict[str, Any] = {"is_flag": False, "flag_value": "true"} if field.annotation is bool else {}
    return click.option(*names, parameter, metavar=_kind(field), help=_help(field), callback=remember,
                        expose_value=False, **bare)


def _read(name: str, field: FieldInfo, text: str) -> Any:
    """A flag's text means what it would mean in the settings file, except that text stays text."""
    if field.annotation is str or field.annotation == (str | None):
        return text
    try:
        return yaml.safe_load(text) if text else text
    except UNREADABLE:
        raise ConfigError(f"--{name} {text!r} cannot be read", "quote it as YAML would need it") from None


def _leaves(model: type[BaseModel], prefix: str = "", told: str = "",
            defaults: BaseModel | None = None) -> Iterator[tuple[str, FieldInfo]]:
    """Every setting; one that has no default or description of its own takes them from the section it is in."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        default = field.default if defaults is None else getattr(defaults, name)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _leaves(inner, f"{prefix}{name}.", field.description or "", default)
        else:
            described = f"{told}: {name}" if told and not field.description else field.description
            yield f"{prefix}{name}", FieldInfo(annotation=field.annotation, default=default, description=described)


def _kind(field: FieldInfo) -> str:
    annotation = field.annotation
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        annotation = next(kind for kind in typing.get_args(annotation) if kind is not type(None))
    if typing.get_origin(annotation) is typing.Literal:
        return "|".join(str(choice) for choice in typing.get_args(annotation))
    return {int: "N", float: "X", bool: "true|false", str: "TEXT"}.get(annotation, "YAML")  # type: ignore[arg-type]


def _help(field: FieldInfo) -> str:
    default = field.default
    shown = "" if default is None or default == "" or isinstance(default, tuple) else f" [default: {default}]"
    return f"{field.description or ''}{shown}"


config_option = click.option("--config", "config_path", metavar="FILE|NAME", default=None,
                             help=f"YAML file with settings, or a ready one: {', '.join(ready_configs())}")
