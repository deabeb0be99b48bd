"""Public benchmarks by EleutherAI's lm-evaluation-harness, as a program of its own: `lm_eval` reads the checkpoint's
folder and writes a JSON file, from which the measures are read. It generates with transformers, not with this engine.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import tempfile
from pathlib import Path
from statistics import NormalDist
from typing import Any

from qstar_core.config import Settings
from qstar_core.engine.hf import resolve_device
from qstar_core.errors import ConfigError, DataError, EngineError
from qstar_core.evaluation.intervals import ALONE
from qstar_core.evaluation.score import Measure, checked
from qstar_core.home import subfolder
from qstar_core.models import present
from qstar_core.records import ModelRef

_PROGRAM = "lm_eval"
_SUFFIX = "_stderr"


def harness_measures(model: ModelRef, settings: Settings) -> tuple[Measure, ...]:
    """Of every task in `evaluation.harness`; the interval is the value ± z times the harness's standard error."""
    wanted = settings.evaluation
    if not wanted.harness:
        return ()
    program = shutil.which(_PROGRAM)
    if program is None:
        raise ConfigError(f"evaluation.harness asks for {', '.join(wanted.harness)}, and {_PROGRAM} is not installed",
                          "pip install 'lm_eval[hf]', or leave evaluation.harness empty")
    with tempfile.TemporaryDirectory(dir=subfolder("scratch")) as folder:
        _run([program, "--model", "hf", "--model_args", _model_args(present(model)), "--tasks",
              ",".join(wanted.harness), "--device", str(resolve_device(settings.engine.device)),
              "--output_path", folder], wanted.harness_timeout)
        written = sorted(Path(folder).rglob("results*.json"))
        if not written:
            raise EngineError(f"{_PROGRAM} wrote no results", "run it by hand on the checkpoint's folder")
        return tuple(read_results(written[-1].read_text(encoding="utf-8"), wanted.confidence))


def read_results(text: str, confidence: float) -> list[Measure]:
    """Metrics are named `metric,filter`; one whose standard error is not told has no interval."""
    try:
        told = json.loads(text)
        tasks: dict[str, dict[str, Any]] = told["results"]
        counts: dict[str, Any] = told.get("n-samples", {})
        return [measure for task, metrics in sorted(tasks.items())
                for measure in _of_task(task, metrics, int(counts.get(task, {}).get("effective", 0)), confidence)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"the results of {_PROGRAM} cannot be read: {error}",
                        "use a release that writes JSON") from None


def _of_task(task: str, metrics: dict[str, Any], n: int, confidence: float) -> list[Measure]:
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    found = []
    for name, value in sorted(metrics.items()):
        metric, _, chosen = name.partition(",")
        if metric.endswith(_SUFFIX) or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        label = f"lm-eval/{task}/{metric}" + (f",{chosen}" if chosen not in ("", "none") else "")
        checked(label, value)
        error = metrics.get(f"{metric}{_SUFFIX},{chosen}" if chosen else f"{metric}{_SUFFIX}")
        if isinstance(error, int | float) and math.isfinite(error):
            found.append(Measure(name=label, value=float(value), low=value - z * error, high=value + z * error, n=n,
                                 method="standard error"))
        else:
            found.append(Measure(name=label, value=float(value), low=None, high=None, n=n, method=ALONE))
    return found


def _model_args(model: ModelRef) -> str:
    if "," in model.path or (model.adapter is not None and "," in model.adapter.path):
        raise ConfigError(f"{_PROGRAM} cannot be given a path with a comma: {model.path}", "move the checkpoint")
    adapter = f",peft={model.adapter.path}" if model.adapter is not None else ""
    return f"pretrained={model.path}{adapter},trust_remote_code=False"


def _run(command: list[str], timeout: float) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
                              errors="replace", check=False)
    except subprocess.TimeoutExpired:
        raise EngineError(f"{_PROGRAM} took longer than {timeout:g} s", "raise evaluation.harness_timeout") from None
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise EngineError(f"{_PROGRAM} failed: {said[-1][:300] if said else f'exit status {done.returncode}'}",
                          "run it by hand on the checkpoint's folder")
