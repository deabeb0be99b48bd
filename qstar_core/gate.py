"""The gate: does a round's statistics allow it to be published? Every check says its value, its range and its verdict;
a check that means nothing for the method, or has nothing to measure, says *not applicable*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qstar_core.config import GateSettings, Range
from qstar_core.errors import ConfigError
from qstar_core.records import GateCheck, GateReport, GateVerdict, MixSummary

CHECKS = ("row count", "keep rate", "failed share", "ESS ratio", "divergent ESS ratio", "alpha",
          "KL difference", "guard: alpha", "guard: ESS ratio")


@dataclass(frozen=True, slots=True)
class GateInput:
    """`summaries` covers every sample that the engine finished, kept or dropped; `not_chosen` counts what passed the
    filters and was left out by best of n or mixing."""

    samples: int
    kept: int
    failed: int
    method: str
    summaries: Sequence[MixSummary]
    not_chosen: int = 0


def check_names(settings: GateSettings) -> None:
    unknown = sorted(set(settings.warn_only) - set(CHECKS))
    if unknown:
        raise ConfigError(f"gate.warn_only names {unknown[0]!r}", f"use some of: {', '.join(CHECKS)}")


def judge(settings: GateSettings, given: GateInput) -> GateReport:
    check_names(settings)
    checks = (*_counts(settings, given), *_mixture(settings, given), *_guards(settings, given))
    return GateReport(checks=tuple(_softened(check, settings.warn_only) for check in checks))


def _counts(settings: GateSettings, given: GateInput) -> tuple[GateCheck, ...]:
    keep_rate = (given.kept + given.not_chosen) / given.samples if given.samples else None
    failed_share = given.failed / given.samples if given.samples else None
    return (
        _check("row count", float(given.kept), low=settings.min_rows, note="kept rows"),
        _check("keep rate", keep_rate, low=settings.min_keep_rate, note="samples that passed the filters, of all"),
        _check("failed share", failed_share, high=settings.max_failed_share, note="samples that ended in an error"),
    )


def _mixture(settings: GateSettings, given: GateInput) -> tuple[GateCheck, ...]:
    ess, divergent = _ess_ratio(given), _divergent_ess_ratio(given)
    alpha = _token_mean(given, lambda s: s.alpha_mean)
    gap = _token_mean(given, lambda s: s.kl_abs_difference_mean)
    clamped, decided = _share(given, lambda s: s.clamped_tokens), _share(given, lambda s: s.policy_tokens)
    reason = (f"not a property of method {given.method}" if given.method != "kl_symmetry"
              else "a policy chose α in place of the method" if decided else "")
    return (
        _in_range("ESS ratio", ess, settings.ess_ratio, note="mean ESS_θ/ESS_t over all tokens"),
        _in_range("divergent ESS ratio", divergent, settings.divergent_ess_ratio, worst=GateVerdict.WARN,
                  note="the same over tokens where the models differ (total variation above 0.05)"),
        _in_range("alpha", alpha, settings.alpha, note="mean weight of the teacher"
                  + _told(clamped, "clamped by the bounds") + _told(decided, "set by a policy")),
        _check("KL difference", None if reason else gap, high=settings.max_kl_difference,
               note=reason or "mean |KL(q‖θ) − KL(q‖t)| per token"),
    )


def _guards(settings: GateSettings, given: GateInput) -> tuple[GateCheck, ...]:
    alpha = _token_mean(given, lambda s: s.alpha_mean)
    return (
        _in_range("guard: alpha", alpha, settings.guard_alpha, worst=GateVerdict.WARN, note="far from either model?"),
        _in_range("guard: ESS ratio", _ess_ratio(given), settings.guard_ess_ratio, worst=GateVerdict.WARN,
                  note="balanced between the models?"),
    )


def _ess_ratio(given: GateInput) -> float | None:
    """Token-weighted mean over the tokens that have a ratio."""
    pairs = [(s.ess_ratio_mean, s.tokens - s.boundary_tokens) for s in given.summaries if s.ess_ratio_mean is not None]
    return _weighted(pairs)


def _divergent_ess_ratio(given: GateInput) -> float | None:
    return _weighted([(s.divergent_ess_ratio_mean, s.divergent_tokens) for s in given.summaries
                      if s.divergent_ess_ratio_mean is not None])


def _token_mean(given: GateInput, value: Callable[[MixSummary], float | None]) -> float | None:
    return _weighted([(found, s.tokens) for s in given.summaries if (found := value(s)) is not None])


def _share(given: GateInput, count: Callable[[MixSummary], int]) -> float:
    """Of all tokens."""
    return sum(map(count, given.summaries)) / max(1, sum(s.tokens for s in given.summaries))


def _told(share: float, what: str) -> str:
    return f"; {share:.1%} of tokens {what}" if share else ""


def _weighted(pairs: Sequence[tuple[float, int]]) -> float | None:
    weight = sum(count for _, count in pairs)
    return sum(value * count for value, count in pairs) / weight if weight else None


def _in_range(name: str, value: float | None, allowed: Range, *, note: str,
              worst: GateVerdict = GateVerdict.FAIL) -> GateCheck:
    return _check(name, value, low=allowed.low, high=allowed.high, note=note, worst=worst)


def _check(name: str, value: float | None, *, low: float | None = None, high: float | None = None, note: str = "",
           worst: GateVerdict = GateVerdict.FAIL) -> GateCheck:
    if value is None:
        verdict = GateVerdict.NOT_APPLICABLE
    elif (low is not None and value < low) or (high is not None and value > high):
        verdict = worst
    else:
        verdict = GateVerdict.PASS
    return GateCheck(name=name, verdict=verdict, value=value, low=low, high=high, note=note)


def _softened(check: GateCheck, warn_only: Sequence[str]) -> GateCheck:
    if check.verdict is GateVerdict.FAIL and check.name in warn_only:
        return check.model_copy(update={"verdict": GateVerdict.WARN})
    return check
