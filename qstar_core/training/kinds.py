"""Which rows a recipe learns from: the kind of a version's export, and the columns of a folder."""

from __future__ import annotations

from enum import StrEnum

from qstar_core.exports.kinds import Kind
from qstar_core.recipes import (
    Cpo,
    Dpo,
    Gkd,
    Kto,
    LogitDistillation,
    OnPolicyDistillation,
    Orpo,
    Rewarded,
    SelfDistillation,
    Sft,
    Training,
    WeightedSft,
)


class Shape(StrEnum):
    """What one row has."""

    COMPLETION = "prompt, completion"
    PAIR = "prompt, chosen, rejected"
    LABELLED = "prompt, completion, label"
    QUESTION = "prompt, solution"
    TRACED = "prompt, completion and their traces"


KINDS = {Shape.COMPLETION: Kind.CONVERSATIONS, Shape.PAIR: Kind.PAIRS, Shape.LABELLED: Kind.LABELLED,
         Shape.QUESTION: Kind.QUESTIONS}

_SHAPES: dict[type[Training], Shape] = {
    Sft: Shape.COMPLETION, Gkd: Shape.COMPLETION, OnPolicyDistillation: Shape.COMPLETION,
    SelfDistillation: Shape.COMPLETION, Dpo: Shape.PAIR, Cpo: Shape.PAIR, Orpo: Shape.PAIR, Kto: Shape.LABELLED,
    Rewarded: Shape.QUESTION, WeightedSft: Shape.TRACED, LogitDistillation: Shape.TRACED,
}


def shape_of(recipe: Training) -> Shape:
    return next(shape for kind, shape in _SHAPES.items() if isinstance(recipe, kind))
