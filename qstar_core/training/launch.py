"""A training run in this process, or in several that accelerate starts, one a GPU.

The processes of `accelerate launch` run `python -m qstar_core.training`; the first of them says one JSON line a step on
its stdout. When this process dies, nobody reads the next line, and the broken pipe ends them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import qstar_core.errors
from qstar_core.errors import QstarError, TrainingError
from qstar_core.home import subfolder
from qstar_core.records import Checkpoint, content_hash
from qstar_core.store.objects import ObjectStore
from qstar_core.training.request import TrainRequest
from qstar_core.training.rewards import RewardFunction
from qstar_core.training.run import train
from qstar_core.training.watching import OnProgress, Progress

MARK = "qstar-training "


def run_training(request: TrainRequest, store: ObjectStore, on_progress: OnProgress,
                 reward: RewardFunction | None = None) -> Checkpoint:
    """In this process where one is enough. Several take no reward function from here."""
    if request.recipe.processes == 1:
        return train(request, store, on_progress, reward)
    folder = subfolder("logs")
    name = content_hash(request.model_dump(mode="json"))[:16]
    asked, log = folder / f"training-{name}.json", folder / f"training-{name}.txt"
    asked.write_text(request.model_dump_json(), encoding="utf-8")
    with log.open("wb") as errors:
        process = subprocess.Popen(_command(request, asked), stdout=subprocess.PIPE, stderr=errors,
                                   stdin=subprocess.DEVNULL, text=True, encoding="utf-8")
        found = _listen(process, on_progress)
        code = process.wait()
    if isinstance(found, QstarError):
        raise found
    if found is None:
        raise TrainingError(f"the training processes ended with code {code}", f"their log is {log}")
    return found


def _command(request: TrainRequest, asked: Path) -> list[str]:
    cpu = ["--cpu"] if request.recipe.device == "cpu" else ["--multi_gpu"]
    # -P: a file in the working directory must not shadow a library
    return [sys.executable, "-P", "-m", "accelerate.commands.launch", "--num_processes", str(request.recipe.processes),
            "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
            *cpu, "-m", "qstar_core.training", str(asked)]


def _listen(process: subprocess.Popen[str], on_progress: OnProgress) -> Checkpoint | QstarError | None:
    found: Checkpoint | QstarError | None = None
    for line in process.stdout or ():
        if not line.startswith(MARK):
            continue
        said: dict[str, Any] = json.loads(line.removeprefix(MARK))
        if "progress" in said:
            on_progress(Progress(**said["progress"]))
        elif "checkpoint" in said:
            found = Checkpoint.model_validate(said["checkpoint"])
        elif "error" in said:
            kind = getattr(qstar_core.errors, said["error"], TrainingError)
            found = kind(said["problem"], said["fix"])
    return found
