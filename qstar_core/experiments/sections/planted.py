"""Arms whose place is known beforehand, by which the experiment itself is tested: pass or fail, with the numbers.

A planted worse arm must be the last one by accuracy. A planted identical one must not be told apart from the arm that
it copies.
"""

from __future__ import annotations

from collections.abc import Sequence

from qstar_core.experiments.sections.facts import Facts
from qstar_core.experiments.sections.markdown import escape, share
from qstar_core.experiments.sections.regime import Regime
from qstar_core.experiments.statistics.comparing import LEVEL
from qstar_core.experiments.statistics.estimate import chance


def passed(facts: Facts, one: Regime) -> dict[str, bool]:
    """By planted arm."""
    value = {line.arm: found.value for line, found in one.order}
    worse = {arm: all(value[arm] < other for name, other in value.items() if name not in facts.worse)
             for arm in facts.worse if arm in value}
    return worse | {arm: one.adjusted[arm] >= LEVEL for arm in facts.same if arm in value}


def tested(facts: Facts, regimes: Sequence[Regime]) -> str:
    """Empty where nothing is planted."""
    lines = [f"- {escape(one.name)}, {escape(facts.label(arm))}: **{'pass' if right else 'FAIL'}**, "
             f"{_worse(facts, one, arm) if arm in facts.worse else _same(facts, one, arm)}."
             for one in regimes for arm, right in passed(facts, one).items()]
    return "Planted arms, which test the experiment itself:\n\n" + "\n".join(lines) + "\n" if lines else ""


def _worse(facts: Facts, one: Regime, arm: str) -> str:
    places = [line.arm for line, _ in one.order]
    own = next(found for line, found in one.order if line.arm == arm)
    lowest = next(((line, found) for line, found in reversed(one.order) if line.arm not in facts.worse), None)
    beside = "" if lowest is None else f"; the lowest of the others is {escape(facts.label(lowest[0].arm))} with " \
                                       f"{share(lowest[1])}"
    return (f"it must rank last and is {places.index(arm) + 1} of {len(places)} with {share(own)}{beside}; "
            f"{_against(facts, one, arm)}")


def _same(facts: Facts, one: Regime, arm: str) -> str:
    return f"it must not be told apart from {escape(facts.label(facts.the_subject()))}; {_against(facts, one, arm)}"


def _against(facts: Facts, one: Regime, arm: str) -> str:
    return (f"win rate of {escape(facts.label(facts.the_subject()))} against it {share(one.against[arm].win_rate)}, p "
            f"after Holm over {len(one.against)} arms {chance(one.adjusted[arm])}")
