"""Student and teacher as an engine takes them: weights that both need are loaded once, and every network has shown that
it reads through slots what it reads plainly.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from qstar_core.config import EngineSettings
from qstar_core.engine.architecture import quantisation
from qstar_core.engine.hf import LoadedModel, first_line, load_model
from qstar_core.engine.runner import ModelRunner
from qstar_core.errors import ModelError
from qstar_core.records import ModelRef

_READ, _GROWN = 5, 9  # tokens of the trial, and after how many the slots take over from the prompt
_NEAR, _NEAR_COARSE = 0.01, 0.25  # total variation that rounding may explain, in float32 and in anything less


def load_pair(student: ModelRef, teacher: ModelRef, settings: EngineSettings) -> tuple[LoadedModel, LoadedModel]:
    """One network where both roles have the same weights. A student that is a plain LoRA on the teacher is the
    teacher's network with the adapter beside it."""
    theirs = load_alone(teacher, settings)
    if student.sha256 == teacher.sha256:
        return theirs, theirs
    if student.adapter is not None and student.adapter.base_sha256 == teacher.sha256:
        from qstar_core.engine.adapter import acts_on_rows, adapted_on_rows, adapter_config

        folder = Path(student.adapter.path)
        if acts_on_rows(adapter_config(folder)):
            network = adapted_on_rows(theirs.network, folder)
            if network is not None:
                return replace(theirs, name=student.name, network=network), theirs
    return load_alone(student, settings), theirs


def load_alone(ref: ModelRef, settings: EngineSettings) -> LoadedModel:
    model = load_model(ref, settings)
    check_reading(model)
    return model


@torch.no_grad()
def check_reading(model: LoadedModel) -> None:
    """Read a few tokens plainly and through slots. Architectures of which nobody thought here are refused, instead of
    sampled from wrongly."""
    ids = tuple(number * 7919 % model.columns for number in range(1, _GROWN + 1))
    try:
        plain = model.network(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0]
        slots = _through_slots(model, ids)
    except (RuntimeError, ValueError, IndexError, AttributeError, TypeError) as error:
        raise ModelError(f"{model.name} cannot be read through slots: {first_line(error)}",
                         "use a model of another architecture") from error
    apart = (plain[_READ - 1 :].float().softmax(-1) - slots.float().softmax(-1)).abs().sum(-1).max().item() / 2
    exact = plain.dtype == torch.float32 and quantisation(model.network.config) is None
    if apart > (_NEAR if exact else _NEAR_COARSE):
        raise ModelError(f"{model.name} gives other distributions through slots than plainly, {apart:.2f} apart",
                         "use a model of another architecture")


def _through_slots(model: LoadedModel, ids: tuple[int, ...]) -> torch.Tensor:
    """The logits after the prompt and after each token that follows it, read beside an empty slot."""
    runner = ModelRunner(model, 2, len(ids), model.columns, fixed_length=True)
    logits = [runner.prefill(1, ids[:_READ])]
    occupied_B = torch.tensor([False, True], device=model.device)
    for position in range(_READ, len(ids)):
        token_B, position_B = (torch.tensor([0, number], device=model.device) for number in (ids[position], position))
        logits.append(runner.decode(token_B, position_B, occupied_B)[1])
    return torch.stack(logits)
