"""What a report says before its samples: the verdict in a sentence, key figures, the funnel, the settings."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qstar_core.records import FunnelStep, GateCheck, GateReport, GateVerdict
from qstar_core.report.charts import ALPHA_RANGE, ESS_RANGE, share_within
from qstar_core.report.data import ReportData, Values
from qstar_core.report.samples import ID_CHARACTERS
from qstar_core.report.text import cut, number, percent, visible

SPEED_LABELS = {"tokens_per_second": "Tokens per second", "samples_per_minute": "Samples per minute"}


@dataclass(frozen=True, slots=True)
class KeyFigure:
    label: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class CheckView:
    name: str
    verdict: str
    css: str
    value: str
    interval: str
    allowed: str
    note: str
    cause: str
    examples: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class FunnelView:
    """One stage; `logged` are the objections of a filter that only logs, to rows it kept. The bar's widths are per cent
    of the largest stage."""

    stage: str
    entered: str
    kept: str
    dropped: str
    share: str
    reasons: tuple[tuple[str, str], ...]
    logged: tuple[tuple[str, str], ...]
    kept_width: str
    entered_width: str


def gate_sentence(gate: GateReport) -> str:
    """What the verdict rests on, in one sentence."""
    def named(verdict: GateVerdict) -> str:
        return ", ".join(visible(c.name) for c in gate.checks if c.verdict is verdict)

    if all(check.verdict is GateVerdict.NOT_APPLICABLE for check in gate.checks):
        return "No check applied to this version."
    failed, warned = named(GateVerdict.FAIL), named(GateVerdict.WARN)
    parts = [f"failed: {failed}"] * bool(failed) + [f"warnings: {warned}"] * bool(warned)
    return f"Checks: {gate.told}" + (" — " + "; ".join(parts) if parts else "") + "."


def check_views(checks: Iterable[GateCheck]) -> tuple[CheckView, ...]:
    return tuple(
        CheckView(cut(check.name, 200), check.verdict.value, check.verdict.name.lower(), number(check.value, 4),
                  _interval(check.interval), _allowed(check.low, check.high), cut(check.note, 1_000),
                  cut(check.cause, 500), tuple((cut(e.sample_id, ID_CHARACTERS), number(e.value), cut(e.text, 200))
                                               for e in check.examples))
        for check in checks
    )


def _interval(found: tuple[float, float] | None) -> str:
    return "" if found is None else f"{number(found[0])} to {number(found[1])}"


def _allowed(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "—"
    if low is None:
        return f"≤ {number(high, 4)}"
    return f"≥ {number(low, 4)}" if high is None else f"{number(low, 4)} to {number(high, 4)}"


def key_figures(data: ReportData) -> tuple[KeyFigure, ...]:
    """The numbers a person looks for first. Means are weighted by tokens."""
    found = data.summaries
    kept = data.funnel[-1].kept if data.funnel else None
    counted = found["tokens"] - found["boundary_tokens"]
    with np.errstate(divide="ignore"):
        log_ess = _weighted(np.log(found["ess_ratio_geometric_mean"]), counted)
    tokens, differing = int(found["tokens"].sum()), int(found["divergent_tokens"].sum())
    return (
        KeyFigure("Rows kept", "—" if kept is None else f"{kept:,}", f"{tokens:,} tokens sampled"),
        KeyFigure("Keep rate", percent(_keep_rate(data.funnel)), "all stages together"),
        *(KeyFigure(label, number(data.speed.get(key)), "sampling") for key, label in SPEED_LABELS.items()),
        KeyFigure("Mean α", number(_weighted(found["alpha_mean"], found["tokens"])),
                  f"{percent(share_within(found['alpha_mean'], ALPHA_RANGE))} of samples in 0.2–0.8"),
        KeyFigure("ESS ratio", number(_weighted(found["ess_ratio_mean"], counted)),
                  f"geometric {number(None if log_ess is None else math.exp(log_ess))} · "
                  f"{percent(share_within(found['ess_ratio_mean'], ESS_RANGE))} of samples in 0.8–1.2"),
        KeyFigure("ESS ratio, models differ",
                  number(_weighted(found["divergent_ess_ratio_mean"], found["divergent_tokens"])),
                  f"{percent(differing / tokens if tokens else None)} of tokens"),
        KeyFigure("KL difference", number(_weighted(found["kl_abs_difference_mean"], found["tokens"])),
                  "mean |KL(q‖π_θ) − KL(q‖π_t)| of a token"),
        *_interventions(data, tokens),
    )


def _interventions(data: ReportData, tokens: int) -> tuple[KeyFigure, ...]:
    """How often something else than the method decided α: shown where bounds are set, or a policy chose."""
    alpha = data.settings.get("alpha", {})
    low, high = alpha.get("min", 0.0), alpha.get("max", 1.0)
    clamped, decided = (int(data.summaries[name].sum()) for name in ("clamped_tokens", "policy_tokens"))
    found: list[KeyFigure] = []
    if clamped or low > 0.0 or high < 1.0:
        found.append(KeyFigure("Clamp rate", percent(clamped / tokens if tokens else None),
                               f"of tokens, α held in {low:g}–{high:g}"))
    if decided:
        found.append(KeyFigure("α by policy", percent(decided / tokens if tokens else None), "of tokens"))
    return tuple(found)


def _keep_rate(funnel: tuple[FunnelStep, ...]) -> float | None:
    """The product over stages, because a stage may count prompts and the next one their samples."""
    if not funnel:
        return None
    return math.prod(step.kept / step.entered if step.entered else 0.0 for step in funnel)


def _weighted(values: Values, weights: Values) -> float | None:
    known = ~np.isnan(values) & (weights > 0)
    return float(np.average(values[known], weights=weights[known])) if known.any() else None


def funnel_views(funnel: tuple[FunnelStep, ...]) -> tuple[FunnelView, ...]:
    widest = max((step.entered for step in funnel), default=0) or 1
    return tuple(
        FunnelView(
            stage=cut(step.stage, 200), entered=f"{step.entered:,}", kept=f"{step.kept:,}",
            dropped=f"{sum(step.dropped.values()):,}",
            share=percent(step.kept / step.entered if step.entered else None),
            reasons=_counts(step.dropped), logged=_counts(step.logged),
            kept_width=f"{100 * step.kept / widest:.2f}", entered_width=f"{100 * step.entered / widest:.2f}",
        )
        for step in funnel
    )


def replay_sentence(replay: dict[str, int]) -> str:
    """What the data holds beside the rows of the funnel; empty where there is nothing."""
    if not replay:
        return ""
    versions = "; ".join(f"{count:,} of {cut(name, 200)}" for name, count in sorted(replay.items()))
    return f"{sum(replay.values()):,} more rows come from earlier versions: {versions}."


def _counts(reasons: dict[str, int]) -> tuple[tuple[str, str], ...]:
    """The most frequent first."""
    return tuple((cut(reason, 200), f"{count:,}")
                 for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])) if count)


def flat(settings: dict[str, Any], prefix: str = "") -> tuple[tuple[str, str], ...]:
    """Nested settings as `section.key` and value, in their own order."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            rows += flat(value, f"{prefix}{key}.")
        else:
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            rows.append((cut(f"{prefix}{key}", 200), cut(shown, 2_000)))
    return tuple(rows)
