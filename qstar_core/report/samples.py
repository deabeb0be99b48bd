"""One sample of a report as JSON values: what the list shows, its texts, and its tokens with their numbers.

Texts are made visible and cut here, so that the page has nothing to judge. Numbers keep four significant digits; what
is not finite is the string that JavaScript's `Number` reads (`NaN`, `Infinity`, `-Infinity`), a missing one is null.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qstar_core.errors import DataError
from qstar_core.mixture.alpha import AlphaStatus
from qstar_core.records import JsonObject, MixSummary
from qstar_core.report.data import ShownSample
from qstar_core.report.text import cut, visible

TOKENS_A_SAMPLE = 2_000
TOKEN_CHARACTERS = 200
TEXT_CHARACTERS = 8_000
ID_CHARACTERS = 80
EXCERPT_CHARACTERS = 90
STATUSES = {status.value: status.name for status in AlphaStatus}
TOKEN_NUMBERS = ("alpha", "tv", "ess_theta", "ess_t", "logp_theta", "logp_t", "logq", "kl_theta", "kl_t",
                 "entropy_theta", "entropy_t", "log_z")
SUMMARY_NUMBERS = ("alpha_mean", "ess_ratio_mean", "divergent_ess_ratio_mean", "kl_theta_mean", "kl_t_mean",
                   "log_z_sum", "entropy_theta_mean", "entropy_t_mean", "divergent_tokens", "boundary_tokens",
                   "clamped_tokens", "unconverged_tokens", "policy_tokens")
_DIGITS = 4


def row_of(shown: ShownSample) -> JsonObject:
    """A line of the list; the summary's numbers have their own names."""
    sample, verdict = shown.sample, shown.verdict
    return {
        "id": cut(sample.id, ID_CHARACTERS), "prompt": cut(sample.prompt_id, ID_CHARACTERS), "draw": sample.draw,
        "outcome": verdict.outcome.value, "stage": cut(verdict.stage, 200), "reason": cut(verdict.reason, 500),
        "like": cut(verdict.duplicate_of, ID_CHARACTERS),
        "finish": sample.finish_reason.value, "tokens": len(sample.token_ids), "score": _rounded(verdict.score),
        "begin": " ".join(visible(sample.completion[: 2 * EXCERPT_CHARACTERS]).split())[:EXCERPT_CHARACTERS],
        **{name: _summary_number(sample.summary, name) for name in SUMMARY_NUMBERS},
    }


def texts_of(shown: ShownSample) -> JsonObject:
    """Both prompts in three parts, of which the middle one is what the other model does not see."""
    student, teacher = _prompt_parts(shown.pair.student_text, shown.pair.teacher_text)
    return {"student": student, "teacher": teacher, "completion": cut(shown.sample.completion, TEXT_CHARACTERS),
            "answer": None if shown.answer is None else cut(shown.answer, 2_000),
            "error": cut(shown.sample.error or "", 2_000)}


def tokens_of(shown: ShownSample) -> JsonObject:
    """The first tokens with their numbers. DataError where texts and trace do not belong together."""
    trace = shown.trace
    if trace is None:
        raise DataError(f"sample {shown.sample.id} has no trace", "tell only samples with a trace token by token")
    if len(shown.tokens) != len(trace):
        raise DataError(
            f"sample {shown.sample.id}: {len(shown.tokens)} token texts for a trace of {len(trace)} tokens",
            "decode the texts from the trace's own token column",
        )
    return {
        "text": [cut(text, TOKEN_CHARACTERS) for text in shown.tokens[:TOKENS_A_SAMPLE]],
        "token": trace.token[:TOKENS_A_SAMPLE].tolist(), "status": trace.status[:TOKENS_A_SAMPLE].tolist(),
        **{name: significant(getattr(trace, name)[:TOKENS_A_SAMPLE]) for name in TOKEN_NUMBERS},
        "omitted": max(0, len(trace) - TOKENS_A_SAMPLE),
    }


def significant(values: Any) -> list[float | str]:
    """Rounded to four significant digits."""
    exact = np.asarray(values, dtype=np.float64)
    plain = np.isfinite(exact) & (exact != 0)
    power = 10.0 ** (_DIGITS - 1 - np.floor(np.log10(np.abs(exact[plain]))))
    rounded = exact.copy()
    rounded[plain] = np.round(exact[plain] * power) / power
    found: list[float | str] = rounded.tolist()
    for at in np.flatnonzero(~np.isfinite(exact)):
        found[at] = "NaN" if np.isnan(exact[at]) else "Infinity" if exact[at] > 0 else "-Infinity"
    return found


def _summary_number(summary: MixSummary | None, name: str) -> float | None:
    return None if summary is None else _rounded(getattr(summary, name))


def _rounded(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else float(f"{value:.{_DIGITS}g}")


def _prompt_parts(student: str, teacher: str) -> tuple[tuple[str, str, str], tuple[str, str, str]]:
    head = _shared(student, teacher)
    tail = _shared(student[head:][::-1], teacher[head:][::-1])
    # A few letters shared by chance at the end of different questions would only tear the words apart.
    tail = tail if tail >= 8 or tail == min(len(student), len(teacher)) - head else 0

    def parts(text: str) -> tuple[str, str, str]:
        end = len(text) - tail
        before, own, after = (cut(part, TEXT_CHARACTERS) for part in (text[:head], text[head:end], text[end:]))
        return before, own, after

    return parts(student), parts(teacher)


def _shared(one: str, other: str) -> int:
    """How many characters both texts begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:  # halving, because comparing slices is far faster than comparing characters
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
