"""A report's data for tests: every verdict, every outcome, and numbers that are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from qstar_core.records import (
    FinishReason,
    FunnelStep,
    GateCheck,
    GateExample,
    GateReport,
    GateVerdict,
    Message,
    MixSummary,
    ModelRef,
    Outcome,
    PromptPair,
    Role,
    Sample,
    Trace,
    Verdict,
)
from qstar_core.report.data import ReportData, ShownSample, Summaries

WORDS = ("Natalia", " sold", " 48", " clips", " in", " April", ",", " so", " 48", " /", " 2", " =", " 24", ".", "\n")


def trace_of(length: int, seed: int = 0) -> Trace:
    rng = np.random.default_rng(seed)

    def floats(low: float, high: float) -> Any:
        return rng.uniform(low, high, length).astype(np.float32)

    return Trace(
        token=rng.integers(0, 500, length).astype(np.int32), logp_theta=floats(-4, 0), logp_t=floats(-4, 0),
        logq=floats(-4, 0), alpha=np.clip(rng.normal(0.5, 0.18, length), 0, 1).astype(np.float32),
        kl_theta=floats(0, 0.3), kl_t=floats(0, 0.3), ess_theta=floats(0.5, 1), ess_t=floats(0.5, 1),
        log_z=floats(-0.2, 0), tv=floats(0, 0.15), entropy_theta=floats(0, 2), entropy_t=floats(0, 2),
        status=np.zeros(length, dtype=np.int32),
    )


def summary_of(seed: int = 0, **changes: Any) -> MixSummary:
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {
        "tokens": 40, "alpha_mean": float(np.clip(rng.normal(0.48, 0.12), 0, 1)), "alpha_std": 0.2,
        "kl_theta_mean": float(rng.gamma(3, 0.02)), "kl_t_mean": float(rng.gamma(3, 0.02)),
        "kl_abs_difference_mean": 0.001, "ess_ratio_mean": float(rng.normal(0.98, 0.1)), "ess_ratio_std": 0.1,
        "ess_ratio_geometric_mean": 0.97, "divergent_tokens": 11,
        "divergent_ess_ratio_mean": float(rng.normal(0.9, 0.35)), "log_z_sum": -2.0, "logp_theta_sum": -30.0,
        "logp_t_sum": -28.0, "logq_sum": -25.0, "boundary_tokens": 1, "clamped_tokens": 0, "unconverged_tokens": 0,
        "entropy_theta_mean": 0.8, "entropy_t_mean": 0.5, "policy_tokens": 0,
    }
    return MixSummary(**(values | changes))


def columns_of(*records: MixSummary) -> Summaries:
    return {name: np.asarray([getattr(record, name) for record in records], dtype=np.float64)
            for name in MixSummary.model_fields}


def shown_of(index: int = 0, *, outcome: Outcome = Outcome.KEPT, reason: str = "", length: int = 15,
             tokens: tuple[str, ...] | None = None, **changes: Any) -> ShownSample:
    """One sample; `changes` may set id, question, hint, answer, completion, error."""
    texts = tokens if tokens is not None else tuple(WORDS[i % len(WORDS)] for i in range(length))
    failed = outcome is Outcome.FAILED
    question = changes.get("question", "Natalia sold 48 clips in April and half as many in May. How many in May?")
    sample = Sample(
        id=changes.get("id", f"sample{index:02d}"), prompt_id=changes.get("prompt", "p1"), draw=index,
        completion=changes.get("completion", "".join(texts)), token_ids=() if failed else (1,) * len(texts),
        finish_reason=FinishReason.ERROR if failed else FinishReason.STOP, seed=1, max_tokens=256,
        error=changes.get("error", "NaN logits at token 3" if failed else None),
        summary=None if failed else summary_of(index),
    )
    head, tail = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
    pair = PromptPair(prompt_id="p1", student_messages=(Message(role=Role.USER, content=question),),
                      student_text=f"{head}{question}{tail}",
                      teacher_text=f"{head}{question}{changes.get('hint', ' The answer is 24.')}{tail}",
                      student_ids=(1,), teacher_ids=(1, 2))
    verdict = Verdict(sample_id=sample.id, prompt_id="p1", outcome=outcome, stage="verify" if reason else "",
                      reason=reason, duplicate_of=changes.get("duplicate_of", ""))
    return ShownSample(sample=sample, verdict=verdict, pair=pair, tokens=() if failed else texts,
                       trace=None if failed else trace_of(len(texts), index), answer=changes.get("answer", "24"))


def report_data(samples: tuple[ShownSample, ...] | None = None, **changes: Any) -> ReportData:
    if samples is None:
        samples = (
            shown_of(0, length=90),
            shown_of(1, outcome=Outcome.DROPPED, reason="wrong answer", length=60),
            shown_of(2, outcome=Outcome.FAILED, reason="engine error"),
        )
    values: dict[str, Any] = {
        "dataset": "gsm8k-qstar", "version": "2026-01-31.r1", "round": "2026-01-31", "created": "2026-01-31T02:00:00Z",
        "funnel": (
            FunnelStep(stage="sample", entered=1000, kept=990, dropped={"engine error": 10}),
            FunnelStep(stage="filter", entered=990, kept=800, dropped={"too long": 150, "repetition": 40}),
            FunnelStep(stage="verify", entered=800, kept=600, dropped={"wrong answer": 200}),
        ),
        "gate": GateReport(checks=(
            GateCheck(name="rows", verdict=GateVerdict.PASS, value=600, low=100),
            GateCheck(name="mean α", verdict=GateVerdict.PASS, value=0.48, low=0.2, high=0.8),
            GateCheck(name="leak rate", verdict=GateVerdict.WARN, value=0.021, high=0.02, note="12 completions"),
            GateCheck(name="ESS ratio", verdict=GateVerdict.FAIL, value=1.31, low=0.8, high=1.2,
                      examples=(GateExample(sample_id="sample0131", value=2.7, text="Natalia"),)),
            GateCheck(name="answers", verdict=GateVerdict.NOT_APPLICABLE, value=None, note="no gold answers"),
        )),
        "models": {role: ModelRef(name=f"{role}-model", path=f"hub/{role}", revision="main", sha256="ab" * 32)
                   for role in ("student", "teacher")},
        "settings": {"alpha": {"method": "kl_symmetric", "low": 0.0}, "seed": 7, "stops": ["a", "b"]},
        "speed": {"tokens_per_second": 1234.5, "samples_per_minute": 310.0, "seconds": 61.0},
        "summaries": columns_of(*(summary_of(seed) for seed in range(400))),
        "files": ("data-docs/data.html", "data/data.parquet"),
        "samples": samples, "total": len(samples), "megabytes": 10.0,
    }
    return ReportData(**(values | changes))
