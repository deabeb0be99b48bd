"""`qstar train`: a dataset version and a student → a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import rich_click as click
import yaml

from flows.commands.located import dataset_option
from flows.commands.options import SettingsCommand, config_option
from flows.commands.run import run_flow
from flows.console import err, out
from flows.packaged import find_config
from qstar_core.config import Settings
from qstar_core.configload import UNREADABLE, load_settings
from qstar_core.errors import ConfigError
from qstar_core.recipes import RECIPES
from qstar_core.records import Checkpoint


@click.command(cls=SettingsCommand)
@config_option
@click.option("--recipe", default=None, metavar="NAME", help=f"{', '.join(RECIPES)} [default: the settings', or sft]")
@click.option("--data", default="latest", metavar="VERSION|FOLDER", show_default=True,
              help="`latest`, a version, the address of one, or a folder that `qstar export --to trl-…` wrote")
@click.option("--student", default=None, metavar="MODEL",
              help="Folder, hub id, builtin:NAME, or `latest`, the promoted student [default: the settings']")
@click.option("--line", default=None, help="Line of students that the checkpoint belongs to")
@click.option("--set", "chosen", multiple=True, metavar="NAME=VALUE",
              help="A setting of the recipe, such as learning_rate=1e-4 or peft.kind=lora; docs/training.md lists them")
@dataset_option
def train(config_path: str | None, recipe: str | None, data: str, student: str | None, line: str | None,
          chosen: tuple[str, ...], dataset: str | None) -> None:
    """Train a student and keep the checkpoint in the store. Run again after a kill, it goes on where it stopped.

    The checkpoint is not promoted: `student: latest` still means the student of before.
    """
    flags = _flags(recipe, student, line, dataset, chosen)
    settings = load_settings(find_config(config_path), os.environ, flags)
    name = settings.training.recipe if settings.training else "sft"
    err.print(f"qstar train: {name} on {data}, student {settings.student.model}", markup=False, highlight=False)
    checkpoint, page = run_flow(_check(settings), _flow, settings, data)
    _tell(checkpoint, page)


def _flags(recipe: str | None, student: str | None, line: str | None, dataset: str | None,
           chosen: tuple[str, ...]) -> dict[str, Any]:
    named = {"training.recipe": recipe, "student.model": student, "student.line": line, "dataset": dataset}
    return {name: value for name, value in named.items() if value is not None} | read_settings("training", chosen)


def read_settings(section: str, chosen: tuple[str, ...]) -> dict[str, Any]:
    """What `--set NAME=VALUE` says, by dotted name."""
    flags: dict[str, Any] = {}
    for text in chosen:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {text!r:.80} is no NAME=VALUE", "write it like learning_rate=1e-4")
        flags[f"{section}.{name}"] = _read(text, value)
    return flags


def _read(text: str, value: str) -> Any:
    """As in the settings file, but 1e-4 is a number too, which YAML takes for text."""
    try:
        return float(value) if "e" in value.lower() and "." not in value else yaml.safe_load(value)
    except ValueError:
        return value
    except UNREADABLE:
        raise ConfigError(f"--set {text!r:.80} cannot be read", "quote it as YAML would need it") from None


def _check(settings: Settings) -> Callable[[], None]:
    def check() -> None:
        from qstar_core.training.hardware import hardware_for, portions_for

        if settings.training is not None:
            hardware_for(settings.training)
            portions_for(settings.training, settings.training.processes)

    return check


def _flow() -> Callable[..., Any]:
    from flows.retrain import retrain

    return retrain


def _tell(checkpoint: Checkpoint, page: str) -> None:
    shown = ("loss", "eval_loss", "reward", "eval_reward", "rewards/accuracies", "ess", "train_runtime")
    metrics = ", ".join(f"{name} {checkpoint.metrics[name]:.4g}" for name in shown if name in checkpoint.metrics)
    lines = {"Checkpoint": f"{checkpoint.line} {checkpoint.id}", "Files": checkpoint.uri, "Metrics": metrics,
             "Flow run": page}
    for name, value in lines.items():
        out.print(f"{name:<16} {value}", highlight=False, soft_wrap=True, markup=False)
