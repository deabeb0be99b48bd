"""All checks of the theory, in seconds: settings in, one record out. The same settings give the same record."""

from __future__ import annotations

import numpy as np

from qstar_core.experiments.theory import categorical, gaussian, sequences
from qstar_core.experiments.theory.records import TheoryResult
from qstar_core.experiments.theory.settings import TheoryStudy
from qstar_core.experiments.work import Tell, Work, timed, whole

# name: mean and covariance (xx, xy, yy) of the student, then of the teacher.
_GAUSSIANS = {
    "the same width": (((-1.0, -0.5), (1.0, 0.0, 1.0)), ((1.2, 0.8), (1.0, 0.0, 1.0))),
    "a surer teacher": (((-1.0, -0.5), (1.0, 0.2, 0.8)), ((1.2, 0.8), (0.4, 0.0, 0.4))),
    "sure of different things": (((-1.0, -0.3), (1.5, 0.3, 0.6)), ((1.2, 0.6), (0.5, 0.0, 1.1))),
}


FORM = 1


def plan(study: TheoryStudy) -> list[Work]:
    return whole(study, "theory", FORM)


def run(work: Work, tell: Tell) -> TheoryResult:
    tell("checking the theory", 0, 1)
    return timed(lambda: checked(TheoryStudy.model_validate(work.asked)))


def checked(settings: TheoryStudy) -> TheoryResult:
    rng = np.random.default_rng(settings.seed)
    return TheoryResult(
        gaussians=tuple(gaussian.checked(name, *pair, settings.cells) for name, pair in _GAUSSIANS.items()),
        levels=tuple(categorical.checked(level, settings.pairs, settings.vocabulary, rng)
                     for level in settings.levels),
        sequences=sequences.checked(settings, rng),
    )
