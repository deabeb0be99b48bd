"""Short training runs on the two small models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qstar_core.config import Settings
from qstar_core.configload import load_settings
from qstar_core.records import Checkpoint, JsonObject
from qstar_core.store.objects import ObjectStore
from qstar_core.training.request import TrainRequest
from qstar_core.training.rewards import RewardFunction
from qstar_core.training.run import train
from qstar_core.training.watching import Progress

# All rows of a small version or folder are one batch, so that the loss of every step is that of the same rows.
WHOLE = {"device": "cpu", "learning_rate": 1e-3, "schedule": "constant", "warmup": 0, "batch_size": 80,
         "micro_batch": 80, "max_length": 128, "max_steps": 4, "tensorboard": False}
ONLINE = {"max_new_tokens": 40, "batch_size": 32, "micro_batch": 32}
GROUPED = {**ONLINE, "generations": 4}


def request_of(recipe: str, data: str | Path, *, student: str = "builtin:tiny-student", **chosen: Any) -> TrainRequest:
    training = {"recipe": recipe, **WHOLE, **chosen}
    return TrainRequest(settings=settings_of(training, student), data=str(data))


def settings_of(training: JsonObject, student: str) -> Settings:
    return load_settings(flags={"training": training, "student.model": student, "student.line": "night"})


class Told:
    """Hears what a run tells."""

    def __init__(self, at: Callable[[Progress], None] | None = None) -> None:
        self.all: list[Progress] = []
        self._at = at

    def __call__(self, progress: Progress) -> None:
        self.all.append(progress)
        if self._at is not None:
            self._at(progress)

    def curve(self, name: str = "loss") -> list[float]:
        return [told.metrics[name] for told in self.all if name in told.metrics]

    @property
    def texts(self) -> list[str]:
        return [told.text for told in self.all if told.text]


def trained(store: ObjectStore, request: TrainRequest, reward: RewardFunction | None = None) -> tuple[Checkpoint, Told]:
    told = Told()
    return train(request, store, told, reward), told


def turn(role: str, content: str) -> JsonObject:
    return {"role": role, "content": content}


def asked(text: str) -> list[JsonObject]:
    return [turn("user", text)]


def said(text: str) -> list[JsonObject]:
    return [turn("assistant", text)]


QUESTIONS = tuple(f"Tom has {start} apples . a) finds {more} . how many ?" for start in range(1, 7) for more in (1, 2))


def write_rows(folder: Path, rows: list[JsonObject], name: str = "train.jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def completions(folder: Path, count: int = 12) -> Path:
    return write_rows(folder, [{"prompt": asked(question), "completion": said(f"a) {i} + 1 = {i + 1} ; answer {i + 1}")}
                               for i, question in enumerate(QUESTIONS[:count])])


def pairs(folder: Path, count: int = 12) -> Path:
    return write_rows(folder, [{"prompt": asked(question), "chosen": said(f"answer {i}"),
                                "rejected": said(f"then {i} plus")} for i, question in enumerate(QUESTIONS[:count])])
