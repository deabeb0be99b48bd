"""What the checks of the theory leave, from which their section and figures are made."""

from __future__ import annotations

from qstar_core.experiments.interval import Interval
from qstar_core.experiments.work import Timed
from qstar_core.records import Record


class Solver(Record):
    """A method against its own condition, solved again in float64: the largest difference of α over all pairs, and how
    many of the pairs the method called unsolved."""

    method: str
    largest_error: float
    unsolved: int


class GaussianCase(Record):
    """Two Gaussians on the plane, with the closed form and what the solvers say about the same densities on a grid.
    `entropy` holds α by the entropy formula on this grid and on one that is half as fine."""

    name: str
    student_mean: tuple[float, float]
    student_covariance: tuple[float, float, float]
    teacher_mean: tuple[float, float]
    teacher_covariance: tuple[float, float, float]
    kl_alpha: float
    chernoff: float
    ess_alpha: float
    kl_alpha_grid: float
    ess_alpha_grid: float
    entropy: tuple[float, float]


class Level(Record):
    """The random pairs of one sharpness. `identity` is the largest |KL(q‖θ) − (−min log Z)|, `residual` the largest
    |KL(q‖θ) − KL(q‖t)| at the solved α, both in nats. `further` is the slope of α_ESS − ½ over α_KL − ½, `apart` the
    mean of their distance. `entropy_*` and `confidence_*` hold a formula against KL symmetry: correlation and mean
    absolute error. `alpha` has α_KL, α_ESS, and α by entropy and confidence for every pair."""

    name: str
    pairs: int
    solvers: tuple[Solver, ...]
    identity: float
    residual: float
    further: Interval
    apart: Interval
    entropy_correlation: Interval
    entropy_error: Interval
    confidence_correlation: Interval
    confidence_error: Interval
    half_error: Interval
    alpha: tuple[tuple[float, float, float, float], ...]


class Position(Record):
    """Over the beginnings that the sequence-level target makes: nats between its next token and that of q*, and the
    distance of their α."""

    position: int
    kl: Interval
    apart: Interval


class Sequences(Record):
    """All sequences of two Markov chains. `token` is q* token by token, `whole` the sequence-level target at its own
    Chernoff point. `excess` is KL(token‖θ) less the Chernoff information of whole sequences, which by the theory is
    KL(token‖whole): `identity` is the largest difference. `symmetry` is the largest |KL(token‖θ) − KL(token‖t)|.
    `weight` is the largest error of Σ log Z as the log importance weight of a mixture with one α."""

    chains: int
    sequences: int
    token_to_whole: Interval
    whole_to_token: Interval
    chernoff: Interval
    excess: Interval
    tv: Interval
    identity: float
    symmetry: float
    weight: float
    positions: tuple[Position, ...]


class TheoryResult(Timed):
    gaussians: tuple[GaussianCase, ...]
    levels: tuple[Level, ...]
    sequences: Sequences
