"""`qstar doctor`: is this machine ready, and if not, what to do."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path

import rich_click as click
from rich.table import Table

from flows.commands.options import SettingsCommand, config_option, given_flags, setting_flags
from flows.console import print_table
from flows.packaged import find_config
from flows.serve import running_server, without_credentials
from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.errors import QstarError
from qstar_core.home import home, model_cache, store_uri
from qstar_core.stages.workspace import Workspace


class State(StrEnum):
    OK = "ok"
    NOTE = "note"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """`todo` says what to do about a note or a failure."""

    subject: str
    state: State
    told: str
    todo: str = ""


Check = Callable[[Settings], Iterator[Finding]]


@click.command(cls=SettingsCommand)
@config_option
@setting_flags()
def doctor(config_path: str | None) -> None:
    """Check Python, devices, memory, disk, store, server and models; say what to do."""
    settings = load_settings(find_config(config_path), os.environ, given_flags())
    findings = [finding for check in (_python, _device, _memory, _disk, _store, _server, _models, _vllm)
                for finding in _safely(check, settings)]
    table = Table("", "what", "found", "to do", box=None)
    colours = {State.OK: "green", State.NOTE: "yellow", State.FAIL: "red"}
    for finding in findings:
        state = f"[{colours[finding.state]}]{finding.state.value}[/]"
        table.add_row(state, finding.subject, finding.told, finding.todo)
    print_table(table)
    if any(finding.state is State.FAIL for finding in findings):
        raise QstarError("this machine is not ready", "see the lines marked fail")


def _safely(check: Check, settings: Settings) -> Iterator[Finding]:
    try:
        yield from check(settings)
    except QstarError as error:
        yield Finding(check.__name__.strip("_"), State.FAIL, error.problem, error.fix)


def _python(_: Settings) -> Iterator[Finding]:
    state = State.OK if sys.version_info >= (3, 11) else State.FAIL
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "prefect"))
    yield Finding("python", state, f"{platform.python_version()}, {packages}", "" if state is State.OK else "use 3.11+")


def _device(settings: Settings) -> Iterator[Finding]:
    import torch

    from qstar_core.engine.hf import resolve_device

    device = resolve_device(settings.engine.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{os.cpu_count()} cores"
    hint = "" if device.type != "cpu" else "fine for small models; large ones want a GPU"
    yield Finding("device", State.OK if device.type != "cpu" else State.NOTE, f"{device} ({name})", hint)


def _memory(_: Settings) -> Iterator[Finding]:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    small = pages < 3
    yield Finding("memory", State.NOTE if small else State.OK, f"{pages:.0f} GiB",
                  "the embedded default needs about 2 GiB" if small else "")


def _disk(_: Settings) -> Iterator[Finding]:
    folder = home()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**30
    yield Finding("disk", State.OK if free > 2 else State.FAIL, f"{free:.0f} GiB free at {home()}",
                  "" if free > 2 else "free some, or set QSTAR_HOME to another disk")


def _store(settings: Settings) -> Iterator[Finding]:
    store = Workspace.open(settings).store
    key = f"doctor/{os.getpid()}"
    store.write(key, b"probe")
    store.delete(key)
    yield Finding("store", State.OK, f"{store_uri(settings)} can be written")


def _server(_: Settings) -> Iterator[Finding]:
    given = os.environ.get("PREFECT_API_URL")
    server = running_server()
    if given:
        address = without_credentials(given)
        yield Finding("server", State.OK, f"PREFECT_API_URL={address}", "runs fail unless it answers")
    elif server is not None:
        yield Finding("server", State.OK, f"runs at {server.ui_url}")
    else:
        yield Finding("server", State.OK, "none runs; the next run starts one")


def _vllm(settings: Settings) -> Iterator[Finding]:
    """Whether vLLM is there and what it would do with the memory, where the settings ask for it."""
    if settings.engine.kind != "vllm":
        return
    from qstar_core.engine.hf import shared_context
    from qstar_core.engine.vllm.budget import foreseen
    from qstar_core.engine.vllm.installed import check_installed, installed_version
    from qstar_core.models import resolve_models

    check_installed(settings.engine.vllm)
    yield Finding("vllm", State.OK, f"vLLM {installed_version()}")
    models = resolve_models(settings, Workspace.open(settings).store)
    student, teacher = models["student"], models["teacher"]
    context = shared_context(settings.engine, Path(student.path), Path(teacher.path))
    plan = foreseen(student, teacher, context, settings.engine)
    yield Finding("vllm memory", State.OK if plan.whole else State.NOTE, f"GiB: {plan}",
                  "" if plan.whole else "samples take turns; lower engine.batch_size or engine.context")


def _models(settings: Settings) -> Iterator[Finding]:
    from qstar_core.checkpoints import checkpoint_hash
    from qstar_core.models import LATEST, promoted_student, resolve

    student = settings.student.model
    if student == LATEST:
        student = promoted_student(settings.student, Workspace.open(settings).store)
    for role, name in (("student", student), ("teacher", settings.teacher.model)):
        if name.startswith("builtin:tiny"):
            built = any(model_cache().glob("tiny-*/teacher/config.json"))
            told = "built" if built else "built on first use, in about half a minute"
            yield Finding(role, State.OK, f"{name}, {told}")
        elif Path(name).is_dir():
            yield Finding(role, State.OK, f"{name}, SHA-256 {checkpoint_hash(Path(name))[:12]}")
        elif name.startswith("builtin:"):
            yield Finding(role, State.OK, f"{name} at {resolve(name, None).path}")
        else:
            yield Finding(role, State.NOTE, f"{name}", "fetched from the hub by the first run that needs it")
