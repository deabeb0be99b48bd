"""How much the accuracy of an arm varies from seed to seed.

Two or three seeds say little of it: they may be alike by chance. So an arm is taken to vary at least as much as the
arms beside it do on average, and more where its own seeds do, with the degrees of freedom of whichever it is. The
average alone would not do: students that learn nothing hardly vary, those on their way up vary most. An arm with one
seed is taken to vary as the average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qstar_core.experiments.statistics.estimate import Values
from qstar_core.experiments.statistics.lines import Axes, Line

_FEWEST = 3  # arms, to tell of an average


@dataclass(frozen=True, slots=True)
class Noise:
    """The variance of one seed, and the degrees of freedom with which it is known."""

    variance: float
    freedom: float


@dataclass(frozen=True, slots=True)
class Noises:
    average: Noise
    own: Mapping[tuple[str, Axes], Noise]

    def of(self, line: Line) -> Noise:
        own = self.own.get((line.arm, line.axes), self.average)
        return own if own.variance > self.average.variance else self.average

    def pair(self, a: Line, b: Line) -> Noise:
        """Of their win rate under one seed: ½ and half their difference in accuracy. Welch's degrees of freedom."""
        parts = [self.of(a), self.of(b)]
        total = sum(one.variance for one in parts)
        squares = sum(one.variance**2 / one.freedom for one in parts)
        return Noise(total / 4, total**2 / squares if squares > 0 else self.average.freedom)


def noise_of(lines: Sequence[Line]) -> Noises | None:
    """Of arms that are compared with each other. None of fewer than three arms, or with one seed. What a seed does to
    all arms alike, such as to their first student, is no noise between them."""
    most = max((line.seeds for line in lines), key=len, default=())
    full = [line for line in lines if set(most) <= set(line.seeds)]
    if len(most) < 2 or len(full) < _FEWEST:
        return None
    seed_S = np.mean([_ends(line, most) for line in full], axis=0)
    left = 1 - 1 / len(full)  # of an arm's variance, beside the mean of all
    own = {}
    for line in lines:
        at = [place for place, seed in enumerate(most) if seed in line.seeds]
        if len(at) > 1:
            away_S = _ends(line, [most[place] for place in at]) - seed_S[at]
            own[line.arm, line.axes] = Noise(float(away_S.var(ddof=1)) / left, len(at) - 1.0)
    average = float(np.mean([own[line.arm, line.axes].variance for line in full]))
    return Noises(Noise(average, (len(full) - 1.0) * (len(most) - 1)), own)


def _ends(line: Line, seeds: Sequence[int]) -> Values:
    return np.asarray(line.of(seeds)[0][:, -1].mean(1))
