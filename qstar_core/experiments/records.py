"""What a study leaves in the store: one record a cell, from which every table and figure is made.

A cell is one student brought up by one arm in one regime under one seed. Its key is the hash of all that its result
depends on, so nothing is run twice and two specs share what they have in common. Cells of the same regime and seed see
the same prompts and are judged on the same problems in the same order: `right` can be compared problem by problem.
"""

from __future__ import annotations

from qstar_core.records import Record


class Point(Record):
    """A student after a round; the first is the one that all arms begin from. `kept` and `drawn` count samples so far,
    `right` is its greedy answer on each of the target's problems. `measures` are named as in an evaluation, such as
    target/accuracy, guard/accuracy, target/hedging; `kl_initial` is nats a token from the first student."""

    round: int
    drawn: int
    kept: int
    tokens: int
    right: tuple[bool, ...]
    measures: dict[str, float]
    kl_initial: float | None
    gradient_variance: float | None
    sampling_seconds: float
    training_seconds: float


class Mixing(Record):
    """How the samples of a cell were mixed: `alpha` and `ess` hold some samples' means (ESS_θ, ESS_t), and
    `alpha_by_position` the mean and the 10th and 90th percentile of α at each position, with the count there."""

    alpha: tuple[float, ...]
    ess: tuple[tuple[float, float], ...]
    alpha_by_position: tuple[tuple[float, float, float, int], ...]
    ess_ratio: float
    alpha_within: float
    leaked: float
    dropped: dict[str, int]


class Cell(Record):
    """`axes` are the places on the spec's grid besides the arm, such as temperature: 0.6."""

    study: str
    regime: str
    arm: str
    seed: int
    axes: dict[str, str | float | int | bool]


class CellResult(Record):
    """`key` is the hash of what was run, `mixing` is None where nothing was mixed."""

    key: str
    cell: Cell
    points: tuple[Point, ...]
    mixing: Mixing | None
    wall_seconds: float
    cpu_seconds: float
    code_version: str
    created: str
