"""A comparison in a few sentences, for the top of the page: who is best, where the arm of the study stands, and what
the plan's criteria say."""

from __future__ import annotations

from collections.abc import Sequence

from qstar_core.experiments.sections.facts import Facts
from qstar_core.experiments.sections.markdown import escape, share
from qstar_core.experiments.sections.planted import passed
from qstar_core.experiments.sections.regime import Regime
from qstar_core.experiments.statistics.comparing import LEVEL
from qstar_core.experiments.verdicts import Status, Verdict


def in_short(facts: Facts, regimes: Sequence[Regime], together: Verdict) -> tuple[str, ...]:
    subject = escape(facts.label(facts.the_subject()))
    criteria = "; ".join(f"{status}: {', '.join(names) or 'none'}" for status in Status
                         if (names := [one.name for one in together.criteria if one.status is status]))
    told = [*(_standing(facts, one, subject) for one in regimes),
            f"The plan's criteria of {subject} in all regimes — {escape(criteria, 2_000)}. "
            f"The plan's verdict: **{together.told}**."]
    planted = [right for one in regimes for right in passed(facts, one).values()]
    if planted:
        told.append(f"Planted arms: {sum(planted)} of {len(planted)} are where they must be"
                    + ("." if all(planted) else ", so **nothing else on this page can be trusted**."))
    return tuple(told)


def _standing(facts: Facts, one: Regime, subject: str) -> str:
    best, found = one.order[0]
    place = next(place for place, (line, _) in enumerate(one.order, 1) if line.arm == facts.the_subject())
    shown = "shown to be better than every other arm" if one.clear else "not shown to be better than every other arm"
    ahead, behind = ([escape(facts.label(arm)) for arm, other in one.against.items()
                      if one.adjusted[arm] < LEVEL and other.ahead is wins] for wins in (True, False))
    lost = f" ({', '.join(behind)})" if behind else ""
    return (f"Regime {escape(one.name)}: {escape(facts.label(best.arm))} has the best accuracy, {share(found)}, and is "
            f"{shown}. {subject} is {place} of {len(one.order)} with {share(one.order[place - 1][1])}; it is shown to "
            f"win against {len(ahead)} of the {len(one.against)} other arms and to lose to {len(behind)}{lost}. "
            f"Open: {len(one.against) - len(ahead) - len(behind)}.")
