"""How the two models are made: their sizes, their training, and what each of them gets to see.

Contract: a recipe is all that training depends on besides the sources of this package. The teacher reads the student's
question followed by `ref <reference> <style>`; the student never reads a reference.
"""

from __future__ import annotations

from pathlib import Path

from qstar_core.records import Record
from qstar_core.tiny.problems import Style

# What a teacher asked for a style writes: mostly that style, so that its distribution keeps some width.
STYLE_MIX: dict[Style, dict[Style, float]] = {
    Style.STEPS: {Style.STEPS: 1.0},
    Style.WORDS: {Style.WORDS: 0.9, Style.STEPS: 0.1},
    Style.TERSE: {Style.TERSE: 0.9, Style.STEPS: 0.1},
    Style.BRIEF: {Style.BRIEF: 0.6, Style.STEPS: 0.4},
}


class Recipe(Record):
    """`step_weights` are the shares of stories with 2, 3, 4 and 5 steps; `hinted` that of prompts with a reference."""

    hidden_size: int
    layers: int
    heads: int
    feed_forward: int
    steps: int
    batch: int
    learning_rate: float
    seed: int
    sort_share: float
    step_weights: tuple[float, float, float, float]
    hinted: float


class PairRecipe(Record):
    student: Recipe
    teacher: Recipe


class Job(Record):
    """What a training process is told."""

    recipe: Recipe
    folder: Path


# The student practises short stories: it knows the arithmetic and lacks the length, which good data can give it.
STUDENT = Recipe(hidden_size=64, layers=2, heads=4, feed_forward=192, steps=360, batch=40, learning_rate=5e-3, seed=7,
                 sort_share=0.17, step_weights=(0.91, 0.08, 0.006, 0.004), hinted=0.0)
# One prompt in five comes without a reference, so that the teacher also has a distribution there.
TEACHER = Recipe(hidden_size=80, layers=2, heads=4, feed_forward=224, steps=400, batch=40, learning_rate=4e-3, seed=1,
                 sort_share=0.25, step_weights=(0.25, 0.25, 0.25, 0.25), hinted=0.8)
PAIR = PairRecipe(student=STUDENT, teacher=TEACHER)


def teacher_question(question: str, reference: str, style: Style = Style.STEPS) -> str:
    """What the teacher is asked where the student is asked `question`."""
    return f"{question} ref {reference} {style}"
