"""The main comparison: accuracy, comparisons, measures, verdicts and figures of arms in their regimes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qstar_core.errors import DataError
from qstar_core.experiments.figures.alpha import alpha_by_position
from qstar_core.experiments.figures.ess import ess_scatter
from qstar_core.experiments.figures.learning import learning_curves
from qstar_core.experiments.figures.style import Drawing, looks
from qstar_core.experiments.sections.base import Part
from qstar_core.experiments.sections.facts import Facts, of_regime, regimes_of
from qstar_core.experiments.sections.losses import told
from qstar_core.experiments.sections.markdown import chance, escape, figure, share, shown, table
from qstar_core.experiments.statistics.comparing import Compared, accuracy, compare, holm, ranked
from qstar_core.experiments.statistics.efficiency import (
    Efficiency,
    Reach,
    area,
    budget_of,
    efficiency,
    level_of,
    reach,
)
from qstar_core.experiments.statistics.lines import Line
from qstar_core.experiments.statistics.measures import MEASURES, measured
from qstar_core.experiments.verdicts import Verdict, judged, overall

_TITLES = {"learning": "Figure 1: learning curves", "ess": "Figure 2: effective sample sizes",
           "alpha": "Figure 3: α over the completion"}
_SAMPLES = ("ess_ratio", "alpha", "alpha_spread", "alpha_within", "leaked", "kept", "gradient")
_STUDENT = ("kl", "forgetting", "leaks", "hedging", "sampling", "training", "wall")


@dataclass(frozen=True, slots=True)
class Regime:
    """The arms of one regime, and the subject against each other arm there; `adjusted` are Holm's chances."""

    name: str
    arms: Mapping[str, Line]
    against: Mapping[str, Compared]
    adjusted: Mapping[str, float]
    level: float | None
    budget: float


class Comparison:
    def __init__(self, facts: Facts, lines: Sequence[Line]) -> None:
        self._facts, self._lines = facts, lines

    def render(self) -> Part:
        facts, subject = self._facts, self._facts.the_subject()
        regimes = [_regime(name, of_regime(self._lines, name), subject) for name in regimes_of(self._lines)]
        verdicts = [judged(one.name, one.arms, {arm: facts.label(arm) for arm in one.arms}, subject, facts.rl,
                           {name: found for name, found in one.against.items() if name in facts.baselines})
                    for one in regimes]
        drawings = self._drawings(subject)
        parts = [_verdicts(verdicts), *(_shown_regime(facts, one) for one in regimes)]
        parts += [figure(drawing, _TITLES[drawing.name.rpartition("-")[2]]) for drawing in drawings]
        return Part(facts.title, "\n".join(parts), drawings)

    def _drawings(self, subject: str) -> tuple[Drawing, ...]:
        facts = self._facts
        groups = {"baselines": [arm for arm in facts.arms if arm == subject or arm in facts.baselines],
                  "controls": [arm for arm in facts.arms if arm == subject or arm not in facts.baselines]}
        groups = {name: arms for name, arms in groups.items() if len(arms) > 1}
        mixing = [line.arm for line in self._lines if any(cell.mixing is not None for cell in line.cells)]
        found = looks([*groups.values(), list(dict.fromkeys(mixing))], subject)
        labels = {arm: facts.label(arm) for arm in facts.arms}
        made = (learning_curves(self._lines, groups, found, labels, f"{facts.name}-learning"),
                ess_scatter(self._lines, found, labels, f"{facts.name}-ess"),
                alpha_by_position(self._lines, subject, found, labels, f"{facts.name}-alpha"))
        return tuple(drawing for drawing in made if drawing is not None)


def _regime(name: str, arms: Mapping[str, Line], subject: str) -> Regime:
    if subject not in arms:
        raise DataError(f"the arm {subject} has no results in regime {name}", "run it there too")
    against = {other: compare(arms[subject], arms[other]) for other in arms if other != subject}
    adjusted = dict(zip(against, holm([one.p for one in against.values()]), strict=True))
    lines = list(arms.values())
    return Regime(name, arms, against, adjusted, level_of(lines), budget_of(lines))


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    """The plan's criteria, overall first."""
    together = overall(verdicts)
    rows = [[criterion.name, f"**{criterion.status}**", *(f"{same.status}" for same in each)]
            for criterion, *each in zip(together.criteria, *(verdict.criteria for verdict in verdicts), strict=True)]
    rows.append(["**the plan's verdict** (three of five)", f"**{together.told}**",
                 *(verdict.told for verdict in verdicts)])
    head = ["criterion", "in all regimes", *(escape(verdict.regime or "") for verdict in verdicts)]
    evidence = [f"- {escape(verdict.regime or '')}, {criterion.name}: {escape(criterion.evidence, 2_000)}"
                for verdict in verdicts for criterion in verdict.criteria]
    return (table(head, rows) + "\nMet means shown: the 95 % interval lies on the good side altogether. Repetitions "
            "are consistent where the arm is ahead of every baseline in at least three seeds and behind in none.\n\n"
            + "\n".join(evidence) + "\n")


def _shown_regime(facts: Facts, one: Regime) -> str:
    order = [line for line, _ in ranked(list(one.arms.values()))]
    return "\n".join([f"### Regime {escape(one.name)}\n", told(facts, one.arms, one.against, one.adjusted),
                      _accuracies(facts, order), _comparisons(facts, one, order), _measures(facts, order, _SAMPLES),
                      _measures(facts, order, _STUDENT)])


def _accuracies(facts: Facts, order: Sequence[Line]) -> str:
    rounds = sorted({number for line in order for number in line.rounds})
    rows = [[escape(facts.label(line.arm)), str(len(line.seeds)), f"{line.kept_S_R[:, -1].mean():,.0f}",
             *(share(accuracy(line, line.rounds.index(number))) if number in line.rounds else "–" for number in rounds)]
            for line in order]
    return "Accuracy, the best arm of the last round first:\n\n" + table(
        ["arm", "seeds", "kept", *("before" if number == 0 else f"round {number}" for number in rounds)], rows)


def _comparisons(facts: Facts, one: Regime, order: Sequence[Line]) -> str:
    rl = one.arms.get(facts.rl) if facts.rl else None
    rows = []
    for line in order:
        found = one.against.get(line.arm)
        cells = ["–"] * 4 if found is None else [
            share(found.win_rate), chance(one.adjusted[line.arm]), chance(found.p_students),
            f"{found.for_seeds} : {found.against_seeds}"]
        way = [_reach(reach(line, one.level)) if one.level is not None else "–",
               _ratio(efficiency(line, rl, one.level)) if rl is not None and one.level is not None else "–",
               share(area(line, one.budget))]
        rows.append([escape(facts.label(line.arm)), *cells, *way])
    subject = escape(facts.label(facts.the_subject()))
    level = "no level, since no arm improved" if one.level is None else (
        f"{one.level:.3f}, half-way from the first student to the best last one")
    than = f"that of {escape(facts.label(rl.arm))}" if rl is not None else "none"
    return (f"{subject} against each arm on the same problems and seeds, and the samples kept until the level {level}. "
            f"Efficiency is relative to {than}; the area is the mean accuracy on the way to {one.budget:,.0f} samples."
            "\n\n" + table(["arm", "win rate against it", "p (Holm)", "p, these students", "seeds won : lost",
                     "samples to the level", "efficiency", "area"], rows))


def _measures(facts: Facts, order: Sequence[Line], keys: Sequence[str]) -> str:
    shown_ = [key for key in keys if any(measured(line, key) is not None for line in order)]
    rows = [[escape(facts.label(line.arm)), *(shown(measured(line, key)) for key in shown_)] for line in order]
    return table(["arm", *(MEASURES[key].title for key in shown_)], rows) if shown_ else ""


def _reach(found: Reach) -> str:
    if found.at is None:
        return f"never ({found.kept:,.0f} kept)"
    low = "–" if found.low is None else f"{found.low:,.0f}"
    return f"{found.at:,.0f} ({low} to {'never' if found.high is None else f'{found.high:,.0f}'})"


def _ratio(found: Efficiency) -> str:
    if found.ratio is None:
        return "cannot be said"
    return f"{'≥ ' if found.at_least else ''}{shown(found.ratio)}"
