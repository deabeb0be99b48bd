"""The plan's five criteria of success, each met, not met, or not to be judged, with the numbers that decide it.

Met means shown: the 95 % interval lies on the good side altogether, for all baselines after Holm. A better number whose
interval does not is not met, and the evidence says that it is open. Repetitions are consistent where the arm is ahead
of every baseline in at least three seeds and behind it in none. The plan calls three of five a success.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np

from qstar_core.experiments.statistics.comparing import LEVEL, Compared, holm
from qstar_core.experiments.statistics.efficiency import efficiency, level_of, reach
from qstar_core.experiments.statistics.estimate import Estimate, chance, over_seeds
from qstar_core.experiments.statistics.lines import Line
from qstar_core.experiments.statistics.measures import measured, paired
from qstar_core.plural import counted
from qstar_core.records import Record
from qstar_core.report.text import number

EFFICIENCY = 1.2
ESS_RATIO = (0.9, 1.1)
REPETITIONS = 3
NEEDED = 3


class Status(StrEnum):
    MET = "met"
    NOT_MET = "not met"
    UNKNOWN = "cannot be judged"


class Criterion(Record):
    name: str
    status: Status
    evidence: str


class Verdict(Record):
    """`regime` is None for all regimes together: met there is met in every one."""

    regime: str | None
    criteria: tuple[Criterion, ...]

    @property
    def met(self) -> int:
        return sum(one.status is Status.MET for one in self.criteria)

    @property
    def told(self) -> str:
        unknown = sum(one.status is Status.UNKNOWN for one in self.criteria)
        of = f"{self.met} of {len(self.criteria)} met"
        if self.met >= NEEDED:
            return f"success ({of})"
        if self.met + unknown >= NEEDED:
            return f"open ({of}, {unknown} cannot be judged)"
        return f"no success ({of})"


Arms = Mapping[str, Line]
Labels = Mapping[str, str]


def judged(regime: str, arms: Arms, labels: Labels, subject: str, baseline: str | None,
           against: Mapping[str, Compared]) -> Verdict:
    """`arms` are the lines of one regime, `against` the subject against each of the plan's baselines there; the samples
    of `baseline` count as one."""
    return Verdict(regime=regime, criteria=(
        _win_rate(labels, against), _efficiency(arms, labels, subject, baseline), _ess_ratio(arms[subject]),
        _gradient(arms, labels, subject, list(against)), _repetitions(labels, against)))


def overall(verdicts: Sequence[Verdict]) -> Verdict:
    criteria = []
    for same in zip(*(verdict.criteria for verdict in verdicts), strict=True):
        found = {one.status for one in same}
        status = next(one for one in (Status.NOT_MET, Status.UNKNOWN, Status.MET) if one in found)
        evidence = "; ".join(f"{verdict.regime}: {one.status}" for verdict, one in zip(verdicts, same, strict=True))
        criteria.append(Criterion(name=same[0].name, status=status, evidence=evidence))
    return Verdict(regime=None, criteria=tuple(criteria))


def _win_rate(labels: Labels, against: Mapping[str, Compared]) -> Criterion:
    name = "win rate above all baselines"
    if not against:
        return Criterion(name=name, status=Status.UNKNOWN, evidence="there is no baseline in this regime")
    adjusted = dict(zip(against, holm([one.p for one in against.values()]), strict=True))
    ahead = [other for other, one in against.items() if one.ahead and adjusted[other] < LEVEL]
    behind = [other for other, one in against.items() if not one.ahead and adjusted[other] < LEVEL]
    told = ", ".join(f"{labels[other]} {one.win_rate.told()} p {chance(adjusted[other])}"
                     for other, one in against.items())
    return Criterion(name=name, status=_met(len(ahead) == len(against)),
                     evidence=f"ahead of {len(ahead)} of {len(against)}, behind {len(behind)}, open "
                              f"{len(against) - len(ahead) - len(behind)} (win rate, p after Holm over these "
                              f"{len(against)}): {told}")


def _efficiency(arms: Arms, labels: Labels, subject: str, baseline: str | None) -> Criterion:
    name = f"sample efficiency above {EFFICIENCY}× that of {labels.get(baseline or '', 'the baseline')}"
    if baseline is None or baseline not in arms:
        return Criterion(name=name, status=Status.UNKNOWN, evidence="the baseline is not in this regime")
    level = level_of(list(arms.values()))
    if level is None:
        return Criterion(name=name, status=Status.UNKNOWN, evidence="no arm made the student any better")
    found = efficiency(arms[subject], arms[baseline], level)
    ours, theirs = reach(arms[subject], level), reach(arms[baseline], level)
    told = f"samples to the level {level:.3f}: {labels[subject]} {ours.told()}, {labels[baseline]} {theirs.told()}"
    if found.ratio is None:
        return Criterion(name=name, status=Status.UNKNOWN, evidence=f"{told}; no ratio: {found.why}")
    ratio = (f"ratio on {counted(max(1, found.ratio.seeds), 'common seed')} {'at least ' if found.at_least else ''}"
             f"{found.ratio.told()}{'; 0 is a resample that never reaches the level' if found.ratio.low == 0 else ''}")
    return Criterion(name=name, status=_met(found.ratio.above > EFFICIENCY), evidence=f"{told}; {ratio}")


def _ess_ratio(line: Line) -> Criterion:
    name = f"ESS ratio in [{ESS_RATIO[0]}, {ESS_RATIO[1]}]"
    found = measured(line, "ess_ratio")
    if found is None or found.low is None:
        why = "nothing was mixed" if found is None else f"{number(found.value)} from one seed, without an interval"
        return Criterion(name=name, status=Status.UNKNOWN, evidence=why)
    return Criterion(name=name, status=_met(found.above >= ESS_RATIO[0] and found.below <= ESS_RATIO[1]),
                     evidence=f"{found.told()} over {found.seeds} seeds")


def _gradient(arms: Arms, labels: Labels, subject: str, others: Sequence[str]) -> Criterion:
    name = "gradient variance below that of the baselines"
    ratios: dict[str, Estimate] = {}
    for other in others:
        both = paired(arms[subject], arms[other], "gradient")
        if both is not None and min(both[0].min(), both[1].min()) > 0:
            found = over_seeds(np.log(both[0]) - np.log(both[1]))
            if found.low is not None and found.high is not None:
                low, high = float(np.exp(found.low)), float(np.exp(found.high))
                ratios[other] = found.model_copy(update={"value": float(np.exp(found.value)), "low": low, "high": high})
    if not ratios:
        return Criterion(name=name, status=Status.UNKNOWN,
                         evidence="no baseline has a gradient variance in two seeds that the arm has one in")
    told = ", ".join(f"{labels[other]} {ratio.told()}" for other, ratio in ratios.items())
    left = [labels[other] for other in others if other not in ratios]
    without = f"; not in two common seeds: {', '.join(left)}" if left else ""
    return Criterion(name=name, status=_met(all(ratio.below < 1 for ratio in ratios.values())),
                     evidence=f"its own over that of {told}{without}")


def _repetitions(labels: Labels, against: Mapping[str, Compared]) -> Criterion:
    name = f"{REPETITIONS} consistent repetitions"
    if not against or min(one.seeds for one in against.values()) < REPETITIONS:
        return Criterion(name=name, status=Status.UNKNOWN,
                         evidence=f"fewer than {REPETITIONS} seeds in common with the baselines")
    told = ", ".join(f"{labels[other]} {one.for_seeds} ahead, {one.against_seeds} behind"
                     for other, one in against.items())
    return Criterion(name=name, evidence=f"seeds: {told}", status=_met(
        all(one.for_seeds >= REPETITIONS and one.against_seeds == 0 for one in against.values())))


def _met(shown: bool) -> Status:
    return Status.MET if shown else Status.NOT_MET
