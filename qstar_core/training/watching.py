"""What a running training tells, and what ends it: a loss that is no number."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from qstar_core.errors import TrainingError
from qstar_core.training.states import seal


@dataclass(frozen=True, slots=True)
class Progress:
    """`step` of `steps`, with the values of the curves at it; or `text`, something to tell."""

    step: int = 0
    steps: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    text: str = ""


OnProgress = Callable[[Progress], None]


class Watch(TrainerCallback):  # type: ignore[misc]
    """Passes curves on, seals the states that are saved, and stops at a loss that is no number."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self.metrics: dict[str, float] = {}

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **rest: Any) -> None:
        values = {name: float(value) for name, value in (logs or {}).items() if isinstance(value, int | float)}
        for name in ("loss", "grad_norm"):
            if not math.isfinite(values.get(name, 0.0)):
                raise TrainingError(f"{name} is {values[name]} at step {state.global_step}",
                                    "lower training.learning_rate, or look at the rows of that step")
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self.metrics |= {name: value for name, value in finite.items() if name != "epoch"}
        self._on_progress(Progress(state.global_step, state.max_steps, finite))

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if args.should_save:
            seal(folder)


class Board(TrainerCallback):  # type: ignore[misc]
    """Curves for TensorBoard. Transformers' own callback empties the file's buffer at every step, which costs small
    models a twentieth of their time."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **rest: Any) -> None:
        for name, value in (logs or {}).items():
            if state.is_world_process_zero and isinstance(value, int | float):
                tag = f"eval/{name[5:]}" if name.startswith("eval_") else f"train/{name}"
                self._writer.add_scalar(tag, value, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self._writer.close()
