"""What a round learns from: rows as `qstar export` writes them, in a folder that `train` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qstar_core.config import PairSettings
from qstar_core.filters.base import Candidate
from qstar_core.records import JsonObject, Message, Prompt, Role
from qstar_core.selection.draws import Draw
from qstar_core.selection.pairs import pairs_of

Turns = Mapping[str, tuple[Message, ...]]
"""What the student reads, by the prompt's id."""


@dataclass(frozen=True, slots=True)
class Text:
    """One completion and how much it counts in the loss at the student as it is: 1 for what is learnt, −1 for what is
    unlearnt, or an advantage."""

    asked: tuple[Message, ...]
    completion: str
    weight: float = 1.0


def completions(kept: Sequence[Candidate], turns: Turns, spoiled: bool) -> list[Text]:
    """Spoiled, every completion goes to the next prompt."""
    said = [one.sample.completion for one in kept]
    if spoiled:
        said = [*said[1:], *said[:1]]
    return [Text(turns[one.prompt.id], completion) for one, completion in zip(kept, said, strict=True)]


def preferences(good: Sequence[Candidate], bad: Sequence[Candidate], turns: Turns,
                seed: int) -> list[tuple[Text, Text]]:
    """One pair a prompt: a kept completion, and one with a wrong answer."""
    draws: dict[str, list[Draw]] = {}
    for kept, group in ((True, good), (False, bad)):
        for one in group:
            draws.setdefault(one.prompt.id, []).append(Draw(
                sample_id=one.sample.id, prompt_id=one.prompt.id, position=one.sample.draw, kept=kept,
                completion=one.sample.completion, answer=one.prompt.answer))
    settings = PairSettings(method="verified", per_prompt=1, seed=seed)
    return [(Text(turns[name], pair.chosen.completion), Text(turns[name], pair.rejected.completion, -1.0))
            for name, found in draws.items() for pair in pairs_of(found, settings)]


def completion_rows(texts: Sequence[Text]) -> list[JsonObject]:
    return [{"prompt": _turns(one.asked), "completion": _said(one.completion)} for one in texts]


def pair_rows(pairs: Sequence[tuple[Text, Text]]) -> list[JsonObject]:
    return [{"prompt": _turns(good.asked), "chosen": _said(good.completion), "rejected": _said(bad.completion)}
            for good, bad in pairs]


def question_rows(prompts: Sequence[Prompt], turns: Turns) -> list[JsonObject]:
    return [{"prompt": _turns(turns[prompt.id]), "solution": prompt.answer} for prompt in prompts]


def write_rows(rows: Sequence[JsonObject], folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def _turns(messages: tuple[Message, ...]) -> list[JsonObject]:
    return [message.model_dump(mode="json") for message in messages]


def _said(completion: str) -> list[JsonObject]:
    return [{"role": Role.ASSISTANT.value, "content": completion}]
