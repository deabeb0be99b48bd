"""The laws of what a cell is made of: the gradient's variance, budgets, spoiled rows, pairs, advantages, mixing."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from qstar_core.config import Range
from qstar_core.experiments.gradient import ROWS, gradient_variance
from qstar_core.experiments.learning import _advantage
from qstar_core.experiments.mixing import Mixed
from qstar_core.experiments.rows import Text, completions, pair_rows, preferences
from qstar_core.experiments.sampling import within_tokens
from qstar_core.filters.base import Candidate
from qstar_core.models import resolve
from qstar_core.records import FinishReason, Prompt, Sample, Trace
from qstar_core.tiny.problems import Style, problems
from tests.experiments.small import cells

PROMPTS = list(problems(3, 4 * ROWS, kinds=("story",)))
TURNS = {prompt.id: prompt.messages for prompt in PROMPTS}


def said(prompt: Prompt, text: str, draw: int = 0) -> Candidate:
    return Candidate(prompt, Sample(id=f"{prompt.id}/{draw}", prompt_id=prompt.id, draw=draw, completion=text,
                                    token_ids=tuple(range(len(text.split()))), finish_reason=FinishReason.STOP, seed=0,
                                    max_tokens=64))


def variance(texts: list[Text], by_tokens: bool = True, batches: int = 8) -> float | None:
    settings = cells(arms=["gold"])[0].how.settings
    return gradient_variance(settings, resolve("builtin:tiny-student", None), texts, batches, by_tokens)


def test_equal_batches_have_no_variance_and_opposite_ones_no_mean() -> None:
    batch = [Text(prompt.messages, prompt.solution or "") for prompt in PROMPTS[:ROWS]]
    assert variance(batch * 3) == pytest.approx(0, abs=1e-9)
    away = [Text(one.asked, one.completion, -1.0) for one in batch]
    assert (variance([*batch, *away]) or np.inf) > 1e6, "the mean gradient is zero but for rounding"
    for by_tokens in (True, False):
        found = variance([Text(prompt.messages, prompt.solution or "") for prompt in PROMPTS], by_tokens)
        assert found is not None and 0 < found < 4
    several = [*batch, *[Text(prompt.messages, prompt.solution or "") for prompt in PROMPTS[ROWS : 2 * ROWS]]]
    scaled = [Text(one.asked, one.completion, 7.0) for one in several]
    assert variance(scaled) == pytest.approx(variance(several), rel=1e-3), "it has no unit"
    assert variance(batch) is None and variance([]) is None
    assert variance([Text(one.asked, one.completion, 0.0) for one in batch] * 2) is None


def test_the_first_ones_are_kept_up_to_the_budget() -> None:
    kept = [said(prompt, "one two three") for prompt in PROMPTS[:5]]
    assert [len(within_tokens(kept, tokens)) for tokens in (None, 0, 1, 3, 4, 15, 99)] == [5, 0, 1, 1, 2, 5, 5]


def test_spoiled_completions_are_all_there_and_none_at_its_place() -> None:
    kept = [said(prompt, f"answer {number}") for number, prompt in enumerate(PROMPTS[:6])]
    right, wrong = completions(kept, TURNS, False), completions(kept, TURNS, True)
    assert [one.completion for one in right] == [f"answer {number}" for number in range(6)]
    assert sorted(one.completion for one in wrong) == sorted(one.completion for one in right)
    assert all(ours.completion != theirs.completion and ours.asked == theirs.asked
               for ours, theirs in zip(right, wrong, strict=True))


def test_a_pair_is_a_kept_and_a_wrong_completion_of_one_prompt() -> None:
    first, second, third = PROMPTS[:3]
    good = [said(first, f"answer {first.answer}"), said(second, f"answer {second.answer}")]
    bad = [said(first, "answer 99", 1), said(third, "answer 99"), said(second, f"x answer {second.answer}", 1)]
    ((chosen, rejected),) = preferences(good, bad, TURNS, 0)
    assert (chosen.completion, rejected.completion) == (f"answer {first.answer}", "answer 99")
    assert (chosen.weight, rejected.weight) == (1.0, -1.0)
    (row,) = pair_rows([(chosen, rejected)])
    assert row["prompt"][0]["content"] == first.question and set(row) == {"prompt", "chosen", "rejected"}


@pytest.mark.parametrize("grouped", [True, False])
def test_advantages_add_up_to_nothing_and_equal_scores_have_none(grouped: bool) -> None:
    found = _advantage([1.0, 0.0, 0.0, 1.0, 0.0], grouped)
    assert sum(found) == pytest.approx(0) and found[0] > 0 > found[1]
    assert _advantage([1.0] * 4, grouped) == [0.0] * 4
    if not grouped:
        assert found[0] == pytest.approx(1 - (0 + 0 + 1 + 0) / 4), "its score less the mean of the others"


def trace(**columns: Any) -> Trace:
    length = len(columns["alpha"])
    filled = {field.name: np.ones(length, dtype=np.float32) for field in fields(Trace) if not field.name.startswith(
        "top")}
    return Trace(**(filled | {name: np.asarray(value, dtype=np.float32) for name, value in columns.items()}))


def test_mixing_is_told_over_tokens_and_leaks_over_what_was_kept() -> None:
    mixed = Mixed(Range(low=0.2, high=0.8))
    assert mixed.record(Counter()) is None
    mixed.add(trace(alpha=[0.5, 0.9], ess_theta=[0.5, 0.0], ess_t=[0.25, 1.0]))
    mixed.add(trace(alpha=[0.1], ess_theta=[1.0], ess_t=[2.0]))
    prompt = next(prompt for prompt in PROMPTS if prompt.meta["difficulty"] == 4)
    terse = Style.BRIEF.value
    mixed.keep([said(prompt, f"answer {prompt.answer}"), said(prompt, prompt.solution or ""),
                said(prompt, f"the hint says answer {prompt.answer} and {terse} more"), said(prompt, "x " * 20)])
    found = mixed.record(Counter(wrong=2))
    assert found is not None and found.alpha == pytest.approx((0.7, 0.1)) and found.dropped == {"wrong": 2}
    assert found.ess == ((0.25, 0.625), (1.0, 2.0))
    assert found.ess_ratio == pytest.approx(1.0), "exp of the mean of log 2 and log ½"
    assert found.alpha_within == pytest.approx(1 / 3) and found.leaked == 0.5
    assert [place[0] for place in found.alpha_by_position] == pytest.approx([0.3, 0.9])
    assert [place[3] for place in found.alpha_by_position] == [2, 1]
