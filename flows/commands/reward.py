"""`qstar reward`: train a reward model, score replies with one, tell what one is worth; `qstar rlhf`: use one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich_click as click
from rich.table import Table

from flows.commands.located import dataset_option
from flows.commands.options import config_option
from flows.commands.run import run_flow
from flows.commands.train import read_settings
from flows.console import err, out, print_table
from flows.packaged import find_config
from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.errors import ConfigError
from qstar_core.recipes import RewardSettings

_MODEL = click.argument("model", metavar="MODEL")


@click.group()
def reward() -> None:
    """Reward models: train one, score replies with it, tell what it is worth.

    MODEL is a folder, a hub id, store:LINE (the newest that was trained here), or store:LINE/ID.
    """


@reward.command()
@config_option
@click.option("--pairs", default=None, metavar="PATH",
              help="Preference pairs: file, folder, export, hub id [default: the settings', or builtin:corruptions]")
@click.option("--base", default=None, metavar="MODEL", help="Language model to start from [default: the settings']")
@click.option("--line", default=None, help="Line of checkpoints that it belongs to [default: the settings', or reward]")
@click.option("--set", "chosen", multiple=True, metavar="NAME=VALUE",
              help="A setting, such as learning_rate=1e-4; docs/reward.md lists them")
def train(config_path: str | None, pairs: str | None, base: str | None, line: str | None,
          chosen: tuple[str, ...]) -> None:
    """Train a reward model on preference pairs, calibrate it, and keep it in the store."""
    named = {"reward.pairs": pairs, "reward.base": base, "reward.line": line}
    flags: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    settings = load_settings(find_config(config_path), os.environ, {**flags, **read_settings("reward", chosen)})
    wanted = settings.reward or RewardSettings()
    err.print(f"qstar reward train: {wanted.pairs}, from {wanted.base}", markup=False, highlight=False)
    checkpoint, page = run_flow(_check(wanted), _flow, settings)
    figures = checkpoint.metrics
    _tell({"Checkpoint": f"store:{checkpoint.line}/{checkpoint.id}", "Files": checkpoint.uri,
           "Held out": f"accuracy {figures['accuracy_held_out']:.3f}, calibration error {figures['ece_before']:.3f} "
                       f"before, {figures['ece_after']:.3f} after", "Flow run": page})


@reward.command()
@_MODEL
@click.argument("file", metavar="FILE")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="JSONL file to write")
@config_option
def score(model: str, file: str, output: Path, config_path: str | None) -> None:
    """Score the replies in FILE (rows with messages, or with prompt and completion)."""
    from qstar_core.reward.rows import scored_rows

    settings = load_settings(find_config(config_path), os.environ, {})
    if Path(file).exists() and Path(file).resolve() == output.resolve():
        raise ConfigError(f"--output {output} would overwrite what is read", "name another file")
    loaded = _loaded(settings, model)
    count = 0
    part = output.with_name(f".{output.name}.part")
    try:
        with part.open("w", encoding="utf-8", errors="replace") as lines:
            for row in scored_rows(loaded, file):
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
        part.replace(output)
    except OSError as error:
        raise ConfigError(f"--output {output} cannot be written: {error.strerror}", "name another file") from None
    finally:
        part.unlink(missing_ok=True)
    _tell({"Scored": f"{count} replies", "File": str(output)})


@reward.command()
@_MODEL
@click.option("--pairs", default=None, metavar="PATH",
              help="Pairs that it was not trained on [default: the prompts that the settings' pairs hold out]")
@click.option("--limit", type=int, default=None, help="Pairs to read at most")
@click.option("--save", is_flag=True, help="Keep the calibration that these pairs give, beside the weights of a folder")
@config_option
def report(model: str, pairs: str | None, limit: int | None, save: bool, config_path: str | None) -> None:
    """Accuracy, calibration and length bias of MODEL on preference pairs."""
    from qstar_core.reward.calibration import write_calibration
    from qstar_core.reward.judging import judge
    from qstar_core.reward.pairs import split_by_prompt
    from qstar_core.reward.reading import read_pairs

    named = {"reward.pairs": pairs, "reward.limit": limit}
    settings = load_settings(find_config(config_path), os.environ,
                             {name: value for name, value in named.items() if value is not None})
    wanted = settings.reward or RewardSettings()
    if save and not Path(model).is_dir():
        raise ConfigError(f"{model} is no folder, so its calibration cannot be kept", "give the folder of a checkpoint")
    read = read_pairs(wanted).pairs
    judged_by = read if pairs else split_by_prompt(read, wanted.validation).held_out
    found = judge(_loaded(settings, model), judged_by, wanted.calibration)
    table = Table("pairs", "accuracy", "95 % interval", "count", box=None, title=f"{model} on {wanted.pairs}",
                  title_justify="left")
    for name, one in {"all": found.report.accuracy, **found.report.by_kind}.items():
        table.add_row(name, f"{one.value:.3f}", f"{one.interval[0]:.3f} to {one.interval[1]:.3f}", str(one.pairs))
    print_table(table)
    _tell(_figures(found.report))
    if save:
        write_calibration(Path(model), found.calibration)
        _tell({"Calibration": f"kept in {Path(model) / 'config.json'}"})


@click.command()
@config_option
@click.option("--data", default="latest", metavar="VERSION", show_default=True, help="Version of the dataset")
@click.option("--student", default=None, metavar="MODEL", help="Student to begin with [default: the settings']")
@click.option("--line", default=None, help="Line of students that the checkpoints belong to")
@click.option("--set", "chosen", multiple=True, metavar="NAME=VALUE",
              help="A setting below rlhf, such as sft.learning_rate=1e-4 or policy.max_steps=100")
@dataset_option
def rlhf(config_path: str | None, data: str, student: str | None, line: str | None, chosen: tuple[str, ...],
         dataset: str | None) -> None:
    """SFT on a version, a reward model that starts from that student, and GRPO by what the model says."""
    named = {"student.model": student, "student.line": line, "dataset": dataset}
    flags: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    settings = load_settings(find_config(config_path), os.environ, {**flags, **read_settings("rlhf", chosen)})
    err.print(f"qstar rlhf: on {data}, student {settings.student.model}", markup=False, highlight=False)
    checkpoint, page = run_flow(_check(settings.reward or RewardSettings()), _rlhf, settings, data)
    _tell({"Checkpoint": f"{checkpoint.line} {checkpoint.id}", "Files": checkpoint.uri, "Flow run": page})


def _rlhf() -> Callable[..., Any]:
    from flows.rlhf import rlhf

    return rlhf


def _figures(found: Any) -> dict[str, str]:
    length = found.length
    matched = "no such pairs" if length.matched is None else f"{length.matched.value:.3f} of {length.matched.pairs}"
    return {"Calibration": f"error {found.ece_before:.3f} before, {found.ece_after:.3f} after",
            "Length": f"correlation with the score {_number(length.score_with_length)}; the longer is preferred in "
                      f"{_number(length.longer_is_preferred)}, chosen in {_number(length.longer_is_chosen)}",
            "Same length": f"accuracy {matched}"}


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _loaded(settings: Settings, model: str) -> Any:
    from qstar_core.reward.finding import find_reward_model
    from qstar_core.reward.model import load_reward_model
    from qstar_core.stages.workspace import Workspace

    return load_reward_model(find_reward_model(Workspace.open(settings).store, model), settings.engine.device)


def _check(wanted: RewardSettings) -> Callable[[], None]:
    def check() -> None:
        from qstar_core.training.hardware import hardware_for, portions_for

        hardware_for(wanted)
        portions_for(wanted, wanted.processes)

    return check


def _flow() -> Callable[..., Any]:
    from flows.reward_model import reward_model

    return reward_model


def _tell(lines: dict[str, str]) -> None:
    for name, value in lines.items():
        out.print(f"{name:<16} {value}", highlight=False, soft_wrap=True, markup=False)
