"""`make bench NAME=train`: steps per CPU second of the SFT recipe against TRL's bare SFTTrainer with the same
arguments, in one process and in turns, and the most memory that a run of the recipe holds.

Counted are the steps after the first few: loading models and saving checkpoints are left out on both sides. The recipe
looks at every loss, writes TensorBoard curves and tells a listener.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.results import Figure, record
from qstar_core.configload import load_settings
from qstar_core.home import model_cache
from qstar_core.models import resolve
from qstar_core.store.directory import DirectoryStore
from qstar_core.tiny.problems import problems
from qstar_core.training.libraries import prepare
from qstar_core.training.request import TrainRequest
from qstar_core.training.run import train
from qstar_core.training.watching import Progress

_STEPS, _SKIPPED, _BATCH, _ROWS, _TURNS = 60, 10, 32, 512, 6
_RATE = 1e-3


def main() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks.train", "alone"], capture_output=True, text=True,
                          check=True)
    peak, loaded = map(float, done.stdout.split())
    with _project() as folder:
        rows = _rows(folder)
        turns = [_turn(folder, rows, turn) for turn in range(_TURNS)]
    ours, bare = (statistics.median(side) for side in zip(*turns, strict=True))
    record("train", [
        Figure("train-steps", statistics.median(one / other for one, other in turns), "× bare SFTTrainer, median",
               goal=0.95, at_most=False),
        Figure("train-steps-recipe", ours, "steps/CPU s"), Figure("train-steps-bare", bare, "steps/CPU s"),
        Figure("train-peak-memory", peak, "MB"),
        Figure("train-libraries-memory", loaded, "MB of them before the first row is read"),
    ], "make bench NAME=train", f"Tiny student, float32, one thread, batch {_BATCH}, {_STEPS} steps of which the first "
       f"{_SKIPPED} do not count. {_TURNS} turns each.")


def _turn(folder: Path, rows: Path, turn: int) -> tuple[float, float]:
    """Who goes first alternates."""
    if turn % 2:
        bare = _bare(folder, rows)
        return _recipe(folder, rows, turn), bare
    return _recipe(folder, rows, turn), _bare(folder, rows)


@contextmanager
def _project() -> Iterator[Path]:
    torch.set_num_threads(1)
    os.environ.setdefault("QSTAR_MODEL_CACHE", str(model_cache()))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["QSTAR_HOME"] = str(Path(folder) / ".qstar")
        prepare()
        yield Path(folder)


def _rows(folder: Path) -> Path:
    place = folder / "rows"
    place.mkdir()
    with (place / "train.jsonl").open("w") as lines:
        for problem in problems(0, _ROWS):
            row = {"prompt": [message.model_dump(mode="json") for message in problem.messages],
                   "completion": [{"role": "assistant", "content": problem.solution}]}
            lines.write(json.dumps(row) + "\n")
    return place


def _recipe(folder: Path, rows: Path, turn: int) -> float:
    clock = _Clock()
    training = {"recipe": "sft", "device": "cpu", "batch_size": _BATCH, "micro_batch": _BATCH, "max_steps": _STEPS,
                "learning_rate": _RATE, "save_every": _STEPS, "seed": turn, "max_length": 256}
    request = TrainRequest(settings=load_settings(flags={"training": training}), data=str(rows))

    def hear(progress: Progress) -> None:
        if "loss" in progress.metrics:
            clock.tick(progress.step)

    train(request, DirectoryStore(folder / "store"), hear)
    return clock.rate


def _bare(folder: Path, rows: Path) -> float:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    clock = _Clock()

    class Ticks(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            clock.tick(state.global_step)

    path = resolve("builtin:tiny-student", None).path
    config = SFTConfig(output_dir=str(folder / "bare"), per_device_train_batch_size=_BATCH, max_steps=_STEPS,
                       learning_rate=_RATE, lr_scheduler_type="cosine", warmup_steps=0.05, weight_decay=0.01,
                       max_length=256, completion_only_loss=True, logging_steps=1, save_steps=_STEPS, use_cpu=True,
                       bf16=False, gradient_checkpointing=False, report_to="none", disable_tqdm=True)
    trainer = SFTTrainer(AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32), args=config,
                         train_dataset=Dataset.from_json(str(rows / "train.jsonl")),
                         processing_class=AutoTokenizer.from_pretrained(path), callbacks=[Ticks()])
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return clock.rate


class _Clock:
    def __init__(self) -> None:
        self._at: dict[int, float] = {}

    def tick(self, step: int) -> None:
        self._at.setdefault(step, time.process_time())

    @property
    def rate(self) -> float:
        return (_STEPS - _SKIPPED) / (self._at[_STEPS] - self._at[_SKIPPED])


def alone() -> None:
    """In a process of its own: the most memory of one run, and that of the libraries."""
    with _project() as folder:
        loaded = _peak_mb()
        _recipe(folder, _rows(folder), 0)
    print(_peak_mb(), loaded)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    alone() if sys.argv[1:] == ["alone"] else main()
