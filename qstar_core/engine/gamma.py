"""How many tokens to draft, chosen while it runs; 0 is lockstep.

Pure arithmetic over what rounds cost. What is predicted for a draft length γ is the expected number of tokens of a
round over its expected cost. With acceptance a, a round that begins with a draft yields (1 − a^γ)/(1 − a) tokens, one
that begins with a certain token 1 + (1 − a^(γ−1))/(1 − a), and a^γ/(1 − a^(γ−1) + a^γ) of them begin with one.

Only draft lengths that were measured are used. Another one is tried where it may be better, and where the worst that it
can cost keeps what is lost in trying within a small share of the time. Measurements expire, so every length gets
another chance.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass
from statistics import median

LONGEST = 8
_MEMORY = 9  # the newest measurements of a quantity; their median is its value
_EXPIRY = 256  # rounds
_JUDGED = 200  # drafts; beyond, the record of acceptance forgets half of itself
_PERIOD = 4  # rounds between two choices
_FEWEST = 8  # drafts that must have been judged before anything is tried
_LEAVE_LOCKSTEP, _CHANGE = 1.03, 1.02  # how much better another draft length must be
_TRIALS = 0.01  # share of the time that trials may lose
_FIRST_TRIAL = 1.0  # lockstep rounds that they may lose before


@dataclass(frozen=True, slots=True)
class RoundCost:
    """What one round took, in seconds. `student` is one forward, `teacher` that of its block of `width` tokens, `rest`
    all else; `aside` is what a change of the draft length, or a measurement, took besides."""

    gamma: int
    rows: int
    student: float
    teacher: float
    width: int
    rest: float
    aside: float = 0.0

    @property
    def total(self) -> float:
        return max(1, self.gamma) * self.student + self.teacher + self.rest + self.aside


def tokens_per_round(gamma: int, acceptance: float) -> float:
    share = ready_share(gamma, acceptance)
    return (1.0 - share) * _run(gamma, acceptance) + share * (1.0 + _run(gamma - 1, acceptance))


def ready_share(gamma: int, acceptance: float) -> float:
    """How many of the rounds of a row begin with a certain token."""
    if gamma <= 1:
        return 1.0
    whole = acceptance**gamma
    return whole / (1.0 - acceptance ** (gamma - 1) + whole)


def _run(drafts: int, acceptance: float) -> float:
    """The expected tokens of so many drafts: those accepted, and the correction."""
    return sum(acceptance**power for power in range(drafts))


class _Costs:
    """Medians of recent measurements by size; between two sizes a straight line, beyond them as the caller says."""

    def __init__(self) -> None:
        self._entries: dict[int, deque[tuple[int, float]]] = defaultdict(lambda: deque(maxlen=_MEMORY))
        self._medians: dict[int, tuple[int, float]] = {}

    def add(self, size: int, seconds: float, now: int) -> None:
        self._entries[size].append((now, seconds))
        self._medians[size] = now, median(taken for since, taken in self._entries[size] if now - since <= _EXPIRY)

    def at(self, size: int, now: int, *, steep: bool) -> float:
        """Beyond the largest known size: proportional where `steep`, flat otherwise."""
        known = {each: value for each, (since, value) in self._medians.items() if now - since <= _EXPIRY}
        if size in known:
            return known[size]
        below = max((each for each in known if each < size), default=None)
        above = min((each for each in known if each > size), default=None)
        if below is None:
            return known[above] if above is not None else 0.0
        if above is None:
            return known[below] * (size / below if steep else 1.0)
        return known[below] + (known[above] - known[below]) * (size - below) / (above - below)


class GammaController:
    def __init__(self) -> None:
        self.in_use = 0
        self._student, self._teacher, self._rest = _Costs(), _Costs(), _Costs()
        self._measured: dict[int, int] = {}
        self._accepted = self._refused = 0.0
        self._elapsed = self._lost = 0.0
        self._round = 0
        self._rows = 1
        self._trying: int | None = None
        self._worst = 0.0

    @property
    def acceptance(self) -> float | None:
        judged = self._accepted + self._refused
        return self._accepted / judged if judged >= _FEWEST else None

    def judged(self, accepted: int, refused: int) -> None:
        self._accepted += accepted
        self._refused += refused
        if self._accepted + self._refused > _JUDGED:
            self._accepted, self._refused = self._accepted / 2, self._refused / 2

    def observe(self, cost: RoundCost) -> None:
        """The first round of a draft length pays for kernels that are made on first use. It measures nothing, and what
        they took is not held against later trials."""
        self._round += 1
        self._elapsed += cost.total
        self._rows = cost.rows
        if cost.gamma == self._trying:
            lost = max(0.0, cost.total - self._worth(cost.gamma))
            self._lost += lost if cost.gamma in self._measured else min(lost, self._worst)
        if cost.gamma not in self._measured:
            self._measured[cost.gamma] = self._round - _EXPIRY - 1
            return
        self._measured[cost.gamma] = self._round
        self._student.add(1, cost.student, self._round)
        self._teacher.add(cost.width, cost.teacher, self._round)
        self._rest.add(max(1, cost.gamma), cost.rest, self._round)

    def choose(self) -> int:
        """The draft length of the next round."""
        self._trying = None
        if self.acceptance is None or not self._known(0):
            self.in_use = 0
            return 0
        if self._round % _PERIOD:
            return self.in_use
        self._settle()
        self._trying = self._trial()
        return self.in_use if self._trying is None else self._trying

    def rate(self, gamma: int, *, steep: bool = False) -> float:
        """Predicted tokens per second of a row; infinite where the clock saw no time pass."""
        acceptance = self.acceptance or 0.0
        seconds = self._cost(gamma, acceptance, steep)
        return tokens_per_round(gamma, acceptance) / seconds if seconds > 0 else math.inf

    def _settle(self) -> None:
        known = [gamma for gamma in range(2, LONGEST + 1) if self._known(gamma)]
        best = max([0, *known], key=self.rate)
        margin = _LEAVE_LOCKSTEP if self.in_use == 0 else _CHANGE
        if best == 0 or not self._known(self.in_use) or self.rate(best) > margin * self.rate(self.in_use):
            self.in_use = best

    def _trial(self) -> int | None:
        """The most promising length among those whose worst case can be afforded."""
        allowed = _TRIALS * self._elapsed + _FIRST_TRIAL / self.rate(0) - self._lost
        bar = self.rate(self.in_use) * (_LEAVE_LOCKSTEP if self.in_use == 0 else _CHANGE)
        worst = {
            gamma: tokens_per_round(gamma, self.acceptance or 0.0) / self.rate(gamma, steep=True) - self._worth(gamma)
            for gamma in range(2, LONGEST + 1) if not self._known(gamma) and self.rate(gamma) > bar
        }
        chosen = max((gamma for gamma, loss in worst.items() if loss <= allowed), key=self.rate, default=None)
        self._worst = max(0.0, worst[chosen]) if chosen is not None else 0.0
        return chosen

    def _worth(self, gamma: int) -> float:
        """The seconds in which the length in use makes the tokens of one such round."""
        return tokens_per_round(gamma, self.acceptance or 0.0) / self.rate(self.in_use)

    def _known(self, gamma: int) -> bool:
        return self._round - self._measured.get(gamma, -_EXPIRY - 1) <= _EXPIRY

    def _cost(self, gamma: int, acceptance: float, steep: bool) -> float:
        """The block is one token shorter in a round where no row needs its first."""
        student = self._student.at(1, self._round, steep=steep)
        rest = self._rest.at(max(1, gamma), self._round, steep=True)
        if gamma == 0:
            widths = [(1, 1.0)]
        else:
            all_ready = ready_share(gamma, acceptance) ** self._rows
            widths = [(gamma, all_ready), (gamma + 1, 1.0 - all_ready)]
        teacher = sum(share * self._teacher.at(width, self._round, steep=steep) for width, share in widths)
        return max(1, gamma) * student + teacher + rest
