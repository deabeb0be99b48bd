"""`qstar demo`, `qstar generate`, `qstar refresh`: run one round and say where it went."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich_click as click

from flows.commands.options import SettingsCommand, config_option, given_flags, setting_flags
from flows.console import err, out, round_view
from flows.packaged import find_config
from flows.serve import ensure_server
from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.errors import ApprovalNeededError, ConfigError, QstarError
from qstar_core.gate.judge import CHECKS
from qstar_core.plural import counted
from qstar_core.records import DatasetVersion
from qstar_core.stages.workspace import Workspace, check_round_name, today


class StoppedError(KeyboardInterrupt):
    """Ctrl-C or SIGTERM; the same command goes on, if these `words` are added to it."""

    def __init__(self, words: tuple[str, ...]) -> None:
        super().__init__()
        self.words = words


@click.command(cls=SettingsCommand)
@click.option("--model", type=click.Choice(["tiny", "smollm2"]), default="tiny", show_default=True,
              help="tiny: two small models, trained here on first use. smollm2: SmolLM2-135M as its own teacher")
@click.option("--round", "round_name", default="1", show_default=True,
              help="Name of the round; the same name goes on where it stopped, another makes the next version")
@setting_flags()
def demo(model: str, round_name: str) -> None:
    """The main job on embedded defaults: from prompts to a published dataset version with a report.

    Its own settings are those of configs/tiny.yaml (or smollm2.yaml); what they leave out has the defaults below.
    """
    settings = load_settings(find_config(model), os.environ, given_flags())
    _announce("demo", settings, round_name)
    _run_and_tell(settings, round_name)


@click.command(cls=SettingsCommand)
@config_option
@click.option("--round", "round_name", default=None, help="Name of the round [default: today's date]")
@setting_flags()
def refresh(config_path: str | None, round_name: str | None) -> None:
    """One nightly round as configured: sample, filter, judge, report, publish."""
    settings = load_settings(find_config(config_path), os.environ, given_flags())
    name = today(settings.operations.time_zone) if round_name is None else round_name
    _announce("refresh", settings, name)
    try:
        _run_and_tell(settings, name)
    except KeyboardInterrupt:  # resumed after midnight, today's round would be another one
        raise StoppedError(() if round_name else ("--round", name)) from None


@click.command(cls=SettingsCommand)
@config_option
@click.option("--output", type=click.Path(path_type=Path), required=True,
              help="File to write, in the OpenAI messages format; diagnostics go beside it")
@click.option("--round", "round_name", default="once", show_default=True, help="Name of the round")
@setting_flags(older_names=True)
def generate(config_path: str | None, output: Path, round_name: str) -> None:
    """One shot without YAML: prompts of a dataset in, one JSONL file out.

    Every setting has a flag. The names of the older sampler work too: --model_theta, --model_t, --dataset,
    --num_samples, --batch_size, --dtype, --alpha_method, --fixed_alpha, --start_idx, --save_diagnostics,
    --prompt_field, --dataset_adapter. The gate's checks only warn here.
    """
    one_shot = {"dataset": "generate", "gate.warn_only": list(CHECKS)}
    settings = load_settings(find_config(config_path), os.environ, {**one_shot, **given_flags()})
    _check_output(output, settings)
    _announce("generate", settings, round_name)
    version, _ = _run(settings, round_name)
    written = _export(settings, version, output)
    for path in written:
        out.print(f"{path}", highlight=False, soft_wrap=True)


def _announce(command: str, settings: Settings, round_name: str) -> None:
    check_round_name(round_name)
    err.print(f"qstar {command}: dataset {settings.dataset}, round {round_name}, q* by {settings.alpha.method}",
              markup=False, highlight=False)


def _check_output(output: Path, settings: Settings) -> None:
    """Before anything runs: the output can be written, and is not the file that is read."""
    if output.is_dir():
        raise ConfigError(f"--output {output} is a folder", "name a file, such as data.jsonl")
    source = Path(settings.source.path)
    if source.exists() and source.resolve() in (output.resolve(), _beside(output).resolve()):
        raise ConfigError(f"--output {output} would overwrite source.path", "name another file")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--output {output} cannot be written: {error.strerror}", "name another file") from None
    if not os.access(output.parent, os.W_OK):
        raise ConfigError(f"--output {output} cannot be written", "choose a folder that you may write")


def _beside(output: Path) -> Path:
    return output.with_name(f"{output.stem}_diagnostics.jsonl")


def _run_and_tell(settings: Settings, round_name: str) -> None:
    version, page = _run(settings, round_name)
    lines = {"Dataset version": f"{version.dataset} {version.version}, {counted(version.rows, 'row')}",
             "Files": version.uri, "Report": f"{version.uri}/report.html", "Flow run": page}
    for name, value in lines.items():
        out.print(f"{name:<16} {value}", highlight=False, soft_wrap=True, markup=False)


def _run(settings: Settings, round_name: str) -> tuple[DatasetVersion, str]:
    def load() -> Callable[..., Any]:
        from flows.refresh import refresh as flow

        return flow

    def check() -> None:
        from qstar_core.stages.planning import check_settings

        check_settings(settings)

    return run_flow(check, load, settings, round_name)


def run_flow(check: Callable[[], None], load: Callable[[], Callable[..., Any]], *arguments: Any) -> tuple[Any, str]:
    """The flow, in this process, on a Prefect server that is started where none runs; also the page of the run. `check`
    comes before the server, `load` after it."""
    for quiet in ("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "PREFECT_LOGGING_INTERNAL_LEVEL"):
        os.environ.setdefault(quiet, "CRITICAL")
    with err.status("starting"):
        check()
        server = ensure_server()
        from flows.faults import server_faults
        from tasks.watching import AWAITS_APPROVAL

        flow = load()
    stopping = ", started in the background; `qstar down` stops it" if server.new else ""
    err.print(f"  [bold]server   [/bold]{server.ui_url}{stopping}", highlight=False, soft_wrap=True)
    with round_view(), server_faults("run the same command again: it goes on where it stopped"):
        state = flow(*arguments, return_state=True)
    page = server.run_page(str(state.state_details.flow_run_id))
    try:
        if state.name == AWAITS_APPROVAL:
            raise ApprovalNeededError(state.message)
        return state.result(), page
    except QstarError:
        err.print(f"  [bold]run      [/bold]{page}", highlight=False, soft_wrap=True)
        raise


def _export(settings: Settings, version: DatasetVersion, output: Path) -> list[Path]:
    """The data file, and the diagnostics beside it."""
    from qstar_core.store.integrity import download_verified
    from qstar_core.store.versions import Versions

    workspace = Workspace.open(settings)
    manifest = Versions(workspace.store, version.dataset).manifest(version.version)
    targets = {"data/data.jsonl": output}
    if settings.engine.diagnostics:
        targets["diagnostics/diagnostics.jsonl"] = _beside(output)
    for ref in manifest.files:
        for name, target in targets.items():
            if ref.key.endswith(f"/{name}"):
                download_verified(workspace.store, ref, target)
    return list(targets.values())
