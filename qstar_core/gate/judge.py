"""The gate: does a round's statistics allow it to be published? Every check says its value, how sure it is, its limits
and its verdict; a check that means nothing for the method, or has nothing to measure, says *not applicable*.

The estimate decides: outside of the limits it is the check's severity. Inside, a check whose interval reaches outside
warns: doubt never excuses a bad figure, and is never silent on a good one.
"""

from __future__ import annotations

from qstar_core.config import GateSettings
from qstar_core.errors import ConfigError
from qstar_core.gate.check import Check, Limits, Measured
from qstar_core.gate.checks.alpha import Alpha, GuardAlpha
from qstar_core.gate.checks.divergent_ess_ratio import DivergentEssRatio
from qstar_core.gate.checks.duplicates import Duplicates
from qstar_core.gate.checks.ess_ratio import EssRatio, GuardEssRatio
from qstar_core.gate.checks.failed_share import FailedShare
from qstar_core.gate.checks.hedging_rate import HedgingRate
from qstar_core.gate.checks.keep_rate import KeepRate
from qstar_core.gate.checks.kl_difference import KlDifference
from qstar_core.gate.checks.leak_rate import LeakRate
from qstar_core.gate.checks.length_drift import LengthKs, LengthPsi
from qstar_core.gate.checks.row_count import RowCount
from qstar_core.gate.checks.suites import SUITES, Suite
from qstar_core.gate.checks.vocabulary_drift import VocabularyPsi
from qstar_core.gate.version import Given
from qstar_core.records import GateCheck, GateExample, GateReport, GateVerdict

REGISTRY: tuple[Check, ...] = (
    *(Suite(name) for name in SUITES), RowCount(), KeepRate(), FailedShare(), EssRatio(), DivergentEssRatio(), Alpha(),
    KlDifference(), LeakRate(), HedgingRate(), LengthPsi(), LengthKs(), VocabularyPsi(), Duplicates(), GuardAlpha(),
    GuardEssRatio(),
)
CHECKS = tuple(check.name for check in REGISTRY)


def check_names(settings: GateSettings) -> None:
    for key, names in (("warn_only", settings.warn_only), ("refuse", settings.refuse)):
        unknown = sorted(set(names) - set(CHECKS))
        if unknown:
            raise ConfigError(f"gate.{key} names {unknown[0]!r}", f"use some of: {', '.join(CHECKS)}")


def judge(settings: GateSettings, given: Given) -> GateReport:
    check_names(settings)
    return GateReport(checks=tuple(_judged(check, settings, given) for check in REGISTRY),
                      previous=given.previous.version if given.previous else None)


def _judged(check: Check, settings: GateSettings, given: Given) -> GateCheck:
    limits, found = check.limits(settings), check.measure(given, settings)
    verdict = decide(found, limits, _severity(check, settings))
    objects = verdict in (GateVerdict.WARN, GateVerdict.FAIL)
    return GateCheck(
        name=check.name, verdict=verdict, value=found.value, low=limits.low, high=limits.high, note=found.note,
        interval=found.interval, cause=check.cause if objects else "",
        examples=tuple(GateExample(sample_id=name, value=value) for name, value in found.worst) if objects else (),
    )


def decide(found: Measured, limits: Limits, severity: GateVerdict) -> GateVerdict:
    if found.value is None:
        return GateVerdict.NOT_APPLICABLE
    if not limits.allow(found.value):
        return severity
    if found.interval is not None and not all(map(limits.allow, found.interval)):
        return GateVerdict.WARN
    return GateVerdict.PASS


def _severity(check: Check, settings: GateSettings) -> GateVerdict:
    if check.name in settings.warn_only:
        return GateVerdict.WARN
    return GateVerdict.FAIL if check.name in settings.refuse else check.severity
