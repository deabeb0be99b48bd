"""A study of a few prompts and steps."""

from __future__ import annotations

from typing import Any

from qstar_core.experiments.cells import Asked, cells_of, plan
from qstar_core.experiments.grid import GridStudy
from qstar_core.experiments.spec import Spec, spec_of
from qstar_core.experiments.work import Work
from qstar_core.records import JsonObject

PROBLEMS = {"path": "builtin:problems", "seed": 1000003, "limit": 300}
SETTINGS: JsonObject = {
    "training": {"max_steps": 2, "batch_size": 8, "micro_batch": 8},
    "evaluation": {"measures": ["accuracy"], "sets": [
        {"name": "target", "role": "target", "source": PROBLEMS, "kinds": ["story"], "prompts": 12},
        {"name": "guard", "role": "guard", "source": PROBLEMS, "kinds": ["sort"], "prompts": 4}]},
}
SIZES: JsonObject = {"rounds": 1, "prompts": 96, "draws": 1, "kl_prompts": 4, "gradient_batches": 2}


def values(**changes: Any) -> JsonObject:
    """A spec with one study, as its file would be read."""
    study = {"kind": "grid", "name": "main", "arms": ["kl-symmetry", "gold"], "seeds": [1], "settings": SETTINGS,
             "sizes": SIZES, **changes}
    return {"name": "small", "studies": [study]}


def spec(**changes: Any) -> Spec:
    return spec_of(values(**changes), "small.yaml")


def study(**changes: Any) -> GridStudy:
    return spec(**changes).studies[0]


def cells(**changes: Any) -> list[Asked]:
    return list(cells_of(study(**changes)))


def works(**changes: Any) -> list[Work]:
    return plan(study(**changes))
