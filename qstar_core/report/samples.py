"""The samples of a report, cut to a budget and ready for the template.

A page has room for a bounded number of tokens and characters, shared by its samples in order; what no longer fits
is left out with a note that says how much. Tokens carry classes, never styles: `a0`…`a10` for α, `e0`…`e10` for the
ESS ratio (log scale, ½ to 2), `v0`…`v10` for the total variation, and `d` where the two models differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qstar_core.errors import DataError
from qstar_core.mixture.alpha import AlphaStatus
from qstar_core.records import MixSummary, Trace
from qstar_core.report.data import ShownSample
from qstar_core.report.text import cut, number, visible

DIVERGENT_TV = 0.05
TOKENS_A_SAMPLE = 2_000
TOKEN_CHARACTERS = 200
TEXT_CHARACTERS = 8_000
_STATUS_NAMES = {status.value: status.name for status in AlphaStatus}


@dataclass(slots=True)
class Budget:
    """What is left of the page for samples."""

    tokens: int = 40_000
    characters: int = 4_000_000

    def text(self, text: str) -> str:
        shown = cut(text, min(TEXT_CHARACTERS, max(self.characters, 200)))
        self.characters -= len(shown)
        return shown


@dataclass(frozen=True, slots=True)
class TokenView:
    text: str
    classes: str
    title: str


@dataclass(frozen=True, slots=True)
class PromptView:
    """A prompt in three parts; `own` is what the other model does not see."""

    before: str
    own: str
    after: str


@dataclass(frozen=True, slots=True)
class SampleView:
    anchor: str
    sample_id: str
    prompt_id: str
    draw: int
    outcome: str
    stage: str
    reason: str
    finish: str
    error: str
    answer: str | None
    student: PromptView
    teacher: PromptView
    completion: str
    tokens: tuple[TokenView, ...]
    omitted: int
    length: int
    facts: tuple[tuple[str, str], ...]


def sample_views(samples: tuple[ShownSample, ...]) -> tuple[SampleView, ...]:
    budget = Budget()
    return tuple(_sample_view(shown, index, budget) for index, shown in enumerate(samples, start=1))


def _sample_view(shown: ShownSample, index: int, budget: Budget) -> SampleView:
    sample, verdict = shown.sample, shown.verdict
    tokens = token_views(shown, limit=max(0, min(TOKENS_A_SAMPLE, budget.tokens)))
    budget.tokens -= len(tokens)
    student, teacher = _prompt_views(shown.pair.student_text, shown.pair.teacher_text, budget)
    return SampleView(
        anchor=f"sample-{index}",
        sample_id=cut(sample.id, 80),
        prompt_id=cut(sample.prompt_id, 80),
        draw=sample.draw,
        outcome=verdict.outcome.value,
        stage=cut(verdict.stage, 200),
        reason=cut(verdict.reason, 500),
        finish=sample.finish_reason.value,
        error=cut(sample.error or "", 2_000),
        answer=None if shown.answer is None else cut(shown.answer, 2_000),
        student=student,
        teacher=teacher,
        completion="" if tokens else budget.text(sample.completion),
        tokens=tokens,
        omitted=len(shown.tokens) - len(tokens) if shown.trace is not None else 0,
        length=len(sample.token_ids),
        facts=_facts(sample.summary),
    )


def token_views(shown: ShownSample, limit: int) -> tuple[TokenView, ...]:
    """The first `limit` tokens with their numbers. DataError where texts and trace do not belong together."""
    trace = shown.trace
    if trace is None:
        return ()
    if len(shown.tokens) != len(trace):
        raise DataError(
            f"sample {shown.sample.id}: {len(shown.tokens)} token texts for a trace of {len(trace)} tokens",
            "decode the texts from the trace's own token column",
        )
    return tuple(_token_view(text, trace, position) for position, text in enumerate(shown.tokens[:limit]))


def _token_view(text: str, trace: Trace, position: int) -> TokenView:
    alpha, tv = float(trace.alpha[position]), float(trace.tv[position])
    ratio = _ratio(float(trace.ess_theta[position]), float(trace.ess_t[position]))
    classes = ["t", _step("a", alpha), _step("e", _log_scale(ratio)), _step("v", tv)]
    if tv > DIVERGENT_TV:
        classes.append("d")
    title = (
        f"token {position + 1} · id {int(trace.token[position])}\n"
        f"α {number(alpha)} · ESS ratio {number(ratio)} · tv {number(tv)}\n"
        f"log π_θ {number(float(trace.logp_theta[position]), 4)} · log π_t {number(float(trace.logp_t[position]), 4)}"
        f" · log q {number(float(trace.logq[position]), 4)}\n"
        f"KL(q‖π_θ) {number(float(trace.kl_theta[position]))} · KL(q‖π_t) {number(float(trace.kl_t[position]))}"
    )
    status = int(trace.status[position])
    if status != AlphaStatus.OK:
        title += f"\nstatus {_STATUS_NAMES.get(status, status)}"
    shown = cut(text, TOKEN_CHARACTERS).replace("\n", "↵\n") or "∅"
    return TokenView(shown, " ".join(name for name in classes if name), title)


def _ratio(above: float, below: float) -> float:
    if below != 0:
        return above / below
    return math.inf if above > 0 else math.nan


def _log_scale(ratio: float) -> float:
    """½ → 0, 1 → 0.5, 2 → 1."""
    if math.isnan(ratio) or ratio < 0:
        return math.nan
    return 0.0 if ratio == 0 else 0.5 + math.log2(ratio) / 2


def _step(prefix: str, share: float) -> str:
    """The class of a value on a scale of eleven steps; no class for what is not a number."""
    return "" if math.isnan(share) else f"{prefix}{round(10 * min(1.0, max(0.0, share)))}"


def _prompt_views(student: str, teacher: str, budget: Budget) -> tuple[PromptView, PromptView]:
    head = _shared(student, teacher)
    tail = _shared(student[head:][::-1], teacher[head:][::-1])
    # A few letters shared by chance at the end of different questions would only tear the words apart.
    tail = tail if tail >= 8 or tail == min(len(student), len(teacher)) - head else 0

    def parts(text: str) -> PromptView:
        end = len(text) - tail
        return PromptView(budget.text(text[:head]), budget.text(text[head:end]), budget.text(text[end:]))

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


def _facts(summary: MixSummary | None) -> tuple[tuple[str, str], ...]:
    if summary is None:
        return ()
    facts = [
        ("mean α", number(summary.alpha_mean)),
        ("ESS ratio", number(summary.ess_ratio_mean)),
        (f"ESS ratio, {summary.divergent_tokens:,} tokens where the models differ",
         number(summary.divergent_ess_ratio_mean)),
        ("KL(q‖π_θ)", number(summary.kl_theta_mean)),
        ("KL(q‖π_t)", number(summary.kl_t_mean)),
        ("Σ log Z", number(summary.log_z_sum)),
        ("entropy of π_θ, of π_t", f"{number(summary.entropy_theta_mean)}, {number(summary.entropy_t_mean)}"),
    ]
    counted = (("boundary", summary.boundary_tokens), ("clamped", summary.clamped_tokens),
               ("unconverged", summary.unconverged_tokens), ("policy", summary.policy_tokens))
    facts += [(visible(f"{name} tokens"), f"{count:,}") for name, count in counted if count]
    return tuple(facts)
