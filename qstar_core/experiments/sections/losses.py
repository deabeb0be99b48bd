"""Where the arm that the study is about wins, where nothing is shown, and where it loses: in words, each with numbers.

What explains a loss is looked for among the measured quantities alone. A quantity is named only where it differs
between the two arms by more than its interval over the same seeds, in the direction in which it would explain the loss,
and both values stand beside it. Where none does, the text says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from qstar_core.experiments.sections.facts import Facts
from qstar_core.experiments.sections.markdown import escape, share
from qstar_core.experiments.statistics.comparing import LEVEL, Compared
from qstar_core.experiments.statistics.estimate import chance, over_seeds
from qstar_core.experiments.statistics.lines import Line
from qstar_core.experiments.statistics.measures import paired
from qstar_core.report.text import number


@dataclass(frozen=True, slots=True)
class Rule:
    """`sign`: +1 where more of it explains a loss, −1 where less does. It speaks only where the loser has less
    than `below` of it."""

    key: str
    sign: int
    says: str
    below: float | None = None


RULES = (
    Rule("alpha", -1, "its α is lower, below ½: the samples lean to the flatter model, here the student", below=0.5),
    Rule("alpha", -1, "its α is lower: the teacher has less weight in its samples"),
    Rule("leaked", +1, "more of its samples leak the answer instead of reasoning"),
    Rule("kept", -1, "fewer of its draws pass the filters"),
    Rule("gradient", +1, "its gradients vary more"),
    Rule("kl", +1, "its student moved farther from the first one"),
    Rule("forgetting", +1, "its student forgot more of the guard's problems"),
    Rule("leaks", +1, "its student's replies leak more"),
    Rule("hedging", +1, "its student's replies hedge more"),
)


def told(facts: Facts, arms: Mapping[str, Line], against: Mapping[str, Compared],
         adjusted: Mapping[str, float]) -> str:
    """Of one regime."""
    subject = escape(facts.label(facts.the_subject()))
    ahead = [one for one in against.values() if one.ahead and adjusted[one.b] < LEVEL]
    behind = [one for one in against.values() if not one.ahead and adjusted[one.b] < LEVEL]
    open_ = [one for one in against.values() if adjusted[one.b] >= LEVEL]
    parts = [f"{subject} wins against: {_names(facts, ahead)}", f"no difference is shown to: {_names(facts, open_)}",
             f"it loses to: {_names(facts, behind)}", *(_loss(facts, arms, one, adjusted[one.b]) for one in behind)]
    return "\n".join(f"- {part}." for part in parts) + "\n"


def _names(facts: Facts, found: list[Compared]) -> str:
    return "; ".join(escape(facts.label(one.b)) for one in found) or "none"


def _loss(facts: Facts, arms: Mapping[str, Line], one: Compared, p: float) -> str:
    reasons = list(explained(arms[one.a], arms[one.b]))
    why = ("Beside it: " + "; ".join(reasons) if reasons else
           "Of what is measured here nothing that would explain it differs by more than its interval")
    return f"Loses to {escape(facts.label(one.b))}: win rate {share(one.win_rate)}, p {chance(p)} after Holm. {why}"


def explained(loser: Line, winner: Line) -> Iterator[str]:
    """The rules that speak, with their numbers."""
    spoken = set()
    for rule in RULES:
        both = paired(loser, winner, rule.key)
        if both is None or rule.key in spoken:
            continue
        ours_S, theirs_S = both
        gap = over_seeds(rule.sign * (ours_S - theirs_S))
        if gap.above > 0 and (rule.below is None or float(ours_S.mean()) < rule.below):
            spoken.add(rule.key)
            yield (f"{rule.says} ({number(float(ours_S.mean()))} against {number(float(theirs_S.mean()))}, "
                   f"{gap.seeds} seeds)")
