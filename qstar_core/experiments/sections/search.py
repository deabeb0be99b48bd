"""The search for a better α: one candidate is chosen by the development seeds, and judged on what chose nothing.

The choice sees the development seeds and every second problem, the judgement the other seeds and the other problems.
The candidate is recommended where it is ahead of the arm that the study is about in every regime, after Holm over the
regimes, and behind no other arm of the study in any; otherwise none is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qstar_core.errors import DataError
from qstar_core.experiments.sections.base import Part
from qstar_core.experiments.sections.facts import Facts, of_regime, regimes_of
from qstar_core.experiments.sections.markdown import escape, share, table
from qstar_core.experiments.statistics.comparing import LEVEL, Compared, accuracy, compare, holm
from qstar_core.experiments.statistics.estimate import chance
from qstar_core.experiments.statistics.lines import Line
from qstar_core.experiments.statistics.noise import noise_of

Regimes = Mapping[str, Mapping[str, Line]]


class Search:
    def __init__(self, facts: Facts, lines: Sequence[Line]) -> None:
        if any(line.axes for line in lines):
            raise DataError(f"the search {facts.name} has axes", "name every candidate as an arm of its own")
        self._facts, self._lines = facts, lines

    def render(self) -> Part:
        facts, subject = self._facts, self._facts.the_subject()
        chosen_by, judged_on = self._halves()
        candidates = [arm for arm in facts.arms if arm != subject and arm not in facts.baselines]
        if not candidates:
            raise DataError(f"the search {facts.name} has no candidate", "give it arms besides its reference")
        scores = {arm: _mean(chosen_by, arm) for arm in candidates}
        best = max(candidates, key=lambda arm: scores[arm])
        noise = {name: noise_of(list(arms.values())) for name, arms in judged_on.items()}
        against = {name: {other: compare(arms[best], arms[other], noise[name]) for other in arms if other != best}
                   for name, arms in judged_on.items()}
        told = _recommendation(facts, best, subject, against)
        return Part(facts.title, "\n".join([
            f"{told}\n", self._candidates(chosen_by, scores, best), self._judged(judged_on, best, against)]),
            in_short=(f"{escape(facts.title)}: {told}",))

    def _halves(self) -> tuple[Regimes, Regimes]:
        names = [set(line.seeds) for line in self._lines]
        shared = sorted(set.intersection(*names))
        choose = [seed for seed in shared if seed in self._facts.development]
        judge = [seed for seed in shared if seed not in self._facts.development]
        if not choose or not judge:
            raise DataError(f"the search {self._facts.name} has {len(choose)} seeds to choose by and {len(judge)} to "
                            "judge on", "name some of its seeds, not all, as development")
        fewest = min(line.right_S_R_N.shape[2] for line in self._lines)
        if fewest < 4:
            raise DataError(f"the search {self._facts.name} has {fewest} problems", "give it four at least: half of "
                            "them choose, and the other half judge")
        parts = [(choose, slice(0, None, 2)), (judge, slice(1, None, 2))]
        first, second = ({regime: of_regime([line.only(seeds, problems) for line in self._lines], regime)
                          for regime in regimes_of(self._lines)} for seeds, problems in parts)
        return first, second

    def _candidates(self, chosen_by: Regimes, scores: Mapping[str, float], best: str) -> str:
        rows = [[escape(self._facts.label(arm)) + (" **(chosen)**" if arm == best else ""), f"{score:.3f}",
                 *(share(accuracy(arms[arm])) for arms in chosen_by.values())]
                for arm, score in sorted(scores.items(), key=lambda one: -one[1])]
        return "Chosen by the mean accuracy over the regimes on the development seeds:\n\n" + table(
            ["candidate", "mean", *(escape(name) for name in chosen_by)], rows)

    def _judged(self, judged_on: Regimes, best: str, against: Mapping[str, Mapping[str, Compared]]) -> str:
        rows = []
        for name, found in against.items():
            adjusted = dict(zip(found, holm([one.p for one in found.values()]), strict=True))
            rows += [[escape(name), escape(self._facts.label(other)), share(accuracy(judged_on[name][best])),
                      share(accuracy(judged_on[name][other])), share(one.win_rate), chance(one.p),
                      chance(adjusted[other])] for other, one in found.items()]
        return f"{escape(self._facts.label(best))} on the other seeds and problems:\n\n" + table(
            ["regime", "against", "its accuracy", "the other's", "win rate", "p", "p (Holm, all arms)"], rows)


def _mean(regimes: Regimes, arm: str) -> float:
    return sum(accuracy(arms[arm]).value for arms in regimes.values()) / len(regimes)


def _recommendation(facts: Facts, best: str, subject: str, against: Mapping[str, Mapping[str, Compared]]) -> str:
    over = holm([found[subject].p for found in against.values()])
    ahead = [name for (name, found), p in zip(against.items(), over, strict=True)
             if found[subject].ahead and p < LEVEL]
    lost = [(name, one) for name, found in against.items()
            for one, p in zip(found.values(), holm([one.p for one in found.values()]), strict=True)
            if not one.ahead and p < LEVEL]
    candidate, reference = escape(facts.label(best)), escape(facts.label(subject))
    shown = "; ".join(f"{escape(name)} {share(found[subject].win_rate)}, p {chance(p)}"
                      for (name, found), p in zip(against.items(), over, strict=True))
    behind = ", ".join(f"{escape(facts.label(one.b))} in {escape(name)} ({share(one.win_rate)})" for name, one in lost)
    if len(ahead) == len(against) and not lost:
        return (f"**Recommended: {candidate}.** It wins against {reference} in every regime (win rate, p after Holm: "
                f"{shown}) and is behind no arm of the study.")
    return (f"**No candidate is recommended.** The best of them, {candidate}, is shown to win against {reference} in "
            f"{len(ahead)} of {len(against)} regimes (win rate, p after Holm: {shown}), and it is behind "
            f"{behind or 'none of the other arms'}.")
