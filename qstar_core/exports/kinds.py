"""What an export is made of: five kinds of rows, and how a version's draws give them.

Every kind streams: memory holds the draws of one prompt. Nothing of the teacher's prompt is in any of them, because no
file of a version has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from qstar_core.records import JsonObject
from qstar_core.selection.draws import Draw, Turns, pass_rate
from qstar_core.selection.pairs import Pair


class Kind(StrEnum):
    """The value is what the command line calls it."""

    CONVERSATIONS = "sft"
    PAIRS = "preference"
    LABELLED = "labelled"
    QUESTIONS = "questions"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class Conversation:
    """A kept row. `row` is the whole row of the version."""

    prompt_id: str
    prompt: Turns
    completion: str
    row: JsonObject


@dataclass(frozen=True, slots=True)
class Preference:
    prompt_id: str
    prompt: Turns
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class Labelled:
    prompt_id: str
    prompt: Turns
    completion: str
    good: bool


@dataclass(frozen=True, slots=True)
class Question:
    """`pass_rate` is the share of the round's draws that end in the gold answer."""

    prompt_id: str
    prompt: Turns
    answer: str
    kind: str
    source: str
    pass_rate: float


@dataclass(frozen=True, slots=True)
class Tokens:
    """The ids that the student saw and those that were drawn, its end mark included: nothing is tokenised again."""

    prompt_id: str
    prompt: tuple[int, ...]
    completion: tuple[int, ...]


Item = Conversation | Preference | Labelled | Question | Tokens


def conversations(rows: Iterable[JsonObject]) -> Iterator[Conversation]:
    for row in rows:
        *prompt, said = row["messages"]
        yield Conversation(row["prompt_id"], tuple(_turn(turn) for turn in prompt), said["content"], row)


def tokens(rows: Iterable[JsonObject], traces: Iterable[JsonObject],
           render: Callable[[Turns], tuple[int, ...]]) -> Iterator[Tokens]:
    """Rows and traces are in the same order, rows without a trace at the end: they came from earlier versions, and stay
    out."""
    drawn = iter(traces)
    for item in conversations(rows):
        for trace in drawn:
            if trace["sample_id"] == item.row["sample_id"]:
                yield Tokens(item.prompt_id, render(item.prompt), tuple(trace["token"]))
                break


def preferences(pairs: Iterable[Pair]) -> Iterator[Preference]:
    for pair in pairs:
        prompt = pair.chosen.prompt
        if prompt is not None:
            yield Preference(pair.chosen.prompt_id, prompt, pair.chosen.completion, pair.rejected.completion)


def labelled(prompts: Iterable[list[Draw]]) -> Iterator[Labelled]:
    """Kept draws are good; those that end in another answer than the gold one are bad; the rest is neither."""
    for draws in prompts:
        for draw in draws:
            bad = not draw.kept and draw.verified is False
            if draw.prompt is not None and draw.words and (draw.kept or bad):
                yield Labelled(draw.prompt_id, draw.prompt, draw.completion, draw.kept)


def questions(prompts: Iterable[list[Draw]]) -> Iterator[Question]:
    """Every prompt with a gold answer, also those of which no draw was kept: they are the ones to learn from."""
    for draws in prompts:
        first, rate = draws[0], pass_rate(draws, 1)
        if first.prompt is not None and first.answer is not None and rate is not None:
            yield Question(first.prompt_id, first.prompt, first.answer, first.kind, first.source, rate)


def assistant(text: str) -> JsonObject:
    return {"role": "assistant", "content": text}


def _turn(turn: JsonObject) -> JsonObject:
    return {"role": turn["role"], "content": turn["content"]}
