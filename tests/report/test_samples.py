"""One sample as values: its numbers are those of its trace, its texts are cut and made visible."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.errors import DataError
from qstar_core.mixture.alpha import AlphaStatus
from qstar_core.report.samples import (
    STATUSES,
    TEXT_CHARACTERS,
    TOKEN_NUMBERS,
    TOKENS_A_SAMPLE,
    row_of,
    significant,
    texts_of,
    tokens_of,
)
from tests.report.example import shown_of


def test_the_numbers_of_a_token_are_those_of_its_trace() -> None:
    shown = shown_of(5, length=40)
    found, trace = tokens_of(shown), shown.trace
    assert trace is not None
    assert found["text"] == list(shown.tokens) and found["token"] == trace.token.tolist() and found["omitted"] == 0
    for name in TOKEN_NUMBERS:
        np.testing.assert_allclose(found[name], getattr(trace, name), rtol=6e-4)


def test_the_numbers_of_the_list_are_those_of_the_summary() -> None:
    shown = shown_of(3)
    row, summary = row_of(shown), shown.sample.summary
    assert summary is not None
    for name in ("alpha_mean", "ess_ratio_mean", "kl_theta_mean", "divergent_tokens"):
        assert row[name] == pytest.approx(getattr(summary, name), rel=6e-4)
    assert row["tokens"] == len(shown.sample.token_ids) and row["begin"].startswith("Natalia sold 48 clips")


@given(st.lists(st.floats(width=32)))
def test_rounded_numbers_are_near_and_survive_json(values: list[float]) -> None:
    found = [float(value) for value in json.loads(json.dumps(significant(values), allow_nan=False))]
    assert len(found) == len(values)
    for exact, rounded in zip(values, found, strict=True):
        assert rounded == exact or (math.isnan(exact) and math.isnan(rounded)) or math.isclose(
            exact, rounded, rel_tol=6e-4)


def test_extreme_numbers_are_said_not_invented() -> None:
    shown = shown_of(0, length=4)
    assert shown.trace is not None
    trace = replace(shown.trace, status=np.int32([AlphaStatus.BOUNDARY, 0, 99, 0]),
                    logp_t=np.float32([-np.inf, -1, -1, -1]), alpha=np.float32([0, 1, np.nan, np.inf]))
    found = tokens_of(replace(shown, trace=trace))
    assert found["logp_t"][0] == "-Infinity" and found["alpha"] == [0, 1, "NaN", "Infinity"]
    assert STATUSES[found["status"][0]] == "BOUNDARY" and found["status"][2] == 99


def test_texts_that_do_not_fit_the_trace_are_refused() -> None:
    shown = shown_of(0, length=4)
    with pytest.raises(DataError, match="3 token texts for a trace of 4"):
        tokens_of(replace(shown, tokens=shown.tokens[:3]))


@pytest.mark.parametrize(("question", "hint", "own"), [
    ("2 + 2?", " It is 4.", " It is 4."),
    ("2 + 2?", "", ""),
    ("aaaa", "aa", "aa"),
])
def test_what_only_the_teacher_sees_stands_apart(question: str, hint: str, own: str) -> None:
    shown = shown_of(0, question=question, hint=hint)
    texts = texts_of(shown)
    assert texts["teacher"][1] == own and texts["student"][1] == ""
    assert "".join(texts["student"]) == shown.pair.student_text
    assert "".join(texts["teacher"]) == shown.pair.teacher_text


def test_long_texts_are_cut_and_say_so() -> None:
    long = "x" * 30_000
    shown = shown_of(0, length=3_000, question=long, answer=long, completion=long)
    texts, told = texts_of(shown), tokens_of(shown)
    assert "more characters]" in texts["student"][0] and texts["completion"].startswith("x" * TEXT_CHARACTERS)
    assert max(len(text) for text in (*texts["student"], texts["completion"])) < TEXT_CHARACTERS + 50
    assert len(told["text"]) == len(told["alpha"]) == TOKENS_A_SAMPLE and told["omitted"] == 1_000
    assert len(row_of(shown)["begin"]) <= 90
