"""The main comparison: accuracy, comparisons, measures, verdicts and figures of arms in their regimes."""

from __future__ import annotations

from collections.abc import Sequence

from qstar_core.experiments.figures.alpha import alpha_by_position
from qstar_core.experiments.figures.ess import ess_scatter
from qstar_core.experiments.figures.learning import learning_curves
from qstar_core.experiments.figures.style import Drawing, looks
from qstar_core.experiments.sections.base import Part
from qstar_core.experiments.sections.facts import Facts
from qstar_core.experiments.sections.losses import told
from qstar_core.experiments.sections.markdown import escape, figure, share, shown, table
from qstar_core.experiments.sections.planted import tested
from qstar_core.experiments.sections.regime import Regime, compared
from qstar_core.experiments.sections.summary import in_short
from qstar_core.experiments.sections.untaught import kept, note
from qstar_core.experiments.statistics.comparing import accuracy
from qstar_core.experiments.statistics.efficiency import Efficiency, area, efficiency, reach
from qstar_core.experiments.statistics.estimate import chance
from qstar_core.experiments.statistics.lines import Line
from qstar_core.experiments.statistics.measures import MEASURES, measured
from qstar_core.experiments.verdicts import Verdict, judged, overall

_TITLES = {"learning": "Figure 1: learning curves", "ess": "Figure 2: effective sample sizes",
           "alpha": "Figure 3: α over the completion"}
_SAMPLES = ("ess_ratio", "alpha", "alpha_spread", "alpha_within", "leaked", "kept", "gradient")
_STUDENT = ("kl", "forgetting", "leaks", "hedging", "sampling", "training", "wall")


class Comparison:
    def __init__(self, facts: Facts, lines: Sequence[Line]) -> None:
        self._facts, self._lines = facts, lines

    def render(self) -> Part:
        facts, subject = self._facts, self._facts.the_subject()
        regimes = compared(facts, self._lines)
        labels = {arm: facts.label(arm) for arm in facts.arms}
        verdicts = [judged(one.name, one.arms, labels, subject, facts.baseline,
                           {name: found for name, found in one.against.items() if name in facts.baselines})
                    for one in regimes]
        together = overall(verdicts)
        drawings = self._drawings(subject)
        parts = [_verdicts(verdicts, together, facts), tested(facts, regimes), _about(facts),
                 *(_shown_regime(facts, one) for one in regimes)]
        parts += [figure(drawing, _TITLES[drawing.name.rpartition("-")[2]]) for drawing in drawings]
        return Part(facts.title, "\n".join(parts), drawings, in_short(facts, regimes, together))

    def _drawings(self, subject: str) -> tuple[Drawing, ...]:
        facts = self._facts
        groups = {"baselines": [arm for arm in facts.arms if arm == subject or arm in facts.baselines],
                  "controls": [arm for arm in facts.arms if arm == subject or arm not in facts.baselines]}
        groups = {name: arms for name, arms in groups.items() if len(arms) > 1}
        mixing = [line.arm for line in self._lines if any(cell.mixing is not None for cell in line.cells)]
        found = looks([*groups.values(), list(dict.fromkeys(mixing))], subject)
        labels = {arm: facts.label(arm) for arm in facts.arms}
        made = (learning_curves(self._lines, subject, groups, found, labels, f"{facts.name}-learning"),
                ess_scatter(self._lines, subject, found, labels, f"{facts.name}-ess"),
                alpha_by_position(self._lines, subject, found, labels, f"{facts.name}-alpha"))
        return tuple(drawing for drawing in made if drawing is not None)


def _verdicts(verdicts: Sequence[Verdict], together: Verdict, facts: Facts) -> str:
    """The plan's criteria, overall first."""
    rows = [[escape(criterion.name), f"**{criterion.status}**", *(f"{same.status}" for same in each)]
            for criterion, *each in zip(together.criteria, *(verdict.criteria for verdict in verdicts), strict=True)]
    rows.append(["**the plan's verdict** (three of five)", f"**{together.told}**",
                 *(verdict.told for verdict in verdicts)])
    head = ["criterion", "in all regimes", *(escape(verdict.regime or "") for verdict in verdicts)]
    evidence = [f"- {escape(verdict.regime or '')}, {escape(criterion.name)}: {escape(criterion.evidence, 2_000)}"
                for verdict in verdicts for criterion in verdict.criteria]
    subject = escape(facts.label(facts.the_subject()))
    baselines = ", ".join(escape(facts.label(arm)) for arm in facts.baselines) or "none"
    return (f"The plan's criteria of {subject}. Baselines: {baselines}.\n\n" + table(head, rows)
            + "\nMet means shown: the 95 % interval lies on the good side altogether. Repetitions are consistent where "
            "the arm is ahead of every baseline in at least three seeds and behind in none.\n\n"
            + "\n".join(evidence) + "\n")


def _about(facts: Facts) -> str:
    if not facts.about:
        return ""
    lines = [f"- {escape(facts.label(arm))}: {escape(about)}" for arm, about in facts.about.items()]
    return "The arms, each as what it really is here:\n\n" + "\n".join(lines) + "\n"


def _shown_regime(facts: Facts, one: Regime) -> str:
    order = [line for line, _ in one.order]
    return "\n".join([f"### Regime {escape(one.name)}\n", told(facts, one.arms, one.against, one.adjusted),
                      _accuracies(facts, order), _comparisons(facts, one, order), _measures(facts, order, _SAMPLES),
                      _measures(facts, order, _STUDENT)])


def _accuracies(facts: Facts, order: Sequence[Line]) -> str:
    rounds = sorted({number for line in order for number in line.rounds})
    rows = [[escape(facts.label(line.arm)), str(len(line.seeds)), kept(line),
             *(share(accuracy(line, line.rounds.index(number))) if number in line.rounds else "–" for number in rounds)]
            for line in order]
    head = ["arm", "seeds", "kept", *("before" if number == 0 else f"round {number}" for number in rounds)]
    return ("Accuracy, the best arm of the last round first. Kept are samples, the mean over seeds; the budget is "
            f"of tokens, and RL learns from all that it draws:\n\n{table(head, rows)}{note(facts, order)}")


def _comparisons(facts: Facts, one: Regime, order: Sequence[Line]) -> str:
    baseline = one.arms.get(facts.baseline) if facts.baseline else None
    rows = []
    for line in order:
        found = one.against.get(line.arm)
        cells = ["–"] * 4 if found is None else [
            share(found.win_rate), chance(one.adjusted[line.arm]), chance(found.p_students),
            f"{found.for_seeds} : {found.against_seeds}"]
        way = [reach(line, one.level).told() if one.level is not None else "–",
               _ratio(efficiency(line, baseline, one.level)) if baseline and one.level is not None else "–",
               share(area(line, one.budget))]
        rows.append([escape(facts.label(line.arm)), *cells, *way])
    subject = escape(facts.label(facts.the_subject()))
    level = "a level: there is none, since no arm improved" if one.level is None else (
        f"the level {one.level:.3f}, half-way from the first student to the best last one")
    than = f"that of {escape(facts.label(baseline.arm))}" if baseline else "none"
    head = ["arm", "win rate against it", f"p (Holm over {len(one.against)})", "p, these students", "seeds won : lost",
            "samples to the level", "efficiency", "area"]
    return (f"{subject} against each arm on the same problems and seeds, and the samples kept until {level}. "
            f"Efficiency is relative to {than}; the area is the mean accuracy on the way to {one.budget:,.0f} samples."
            "\n\n" + table(head, rows))


def _measures(facts: Facts, order: Sequence[Line], keys: Sequence[str]) -> str:
    shown_ = [key for key in keys if any(measured(line, key) is not None for line in order)]
    rows = [[escape(facts.label(line.arm)), *(shown(measured(line, key)) for key in shown_)] for line in order]
    return table(["arm", *(MEASURES[key].title for key in shown_)], rows) if shown_ else ""


def _ratio(found: Efficiency) -> str:
    if found.ratio is None:
        return "cannot be said"
    return f"{'≥ ' if found.at_least else ''}{shown(found.ratio)}"
