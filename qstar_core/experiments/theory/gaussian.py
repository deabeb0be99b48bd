"""q* of two Gaussians on the plane: the geometric mixture is a Gaussian again, in closed form.

With precisions P the mixture has P_α = (1−α)·P_θ + α·P_t. Z(α) beyond [0, 1] is infinite where P_α is not positive
definite; the ESS balance is looked for where both effective sample sizes are above 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigvalsh
from scipy.optimize import brentq, minimize_scalar

from qstar_core.experiments.interval import Values
from qstar_core.experiments.theory import solved
from qstar_core.experiments.theory.records import GaussianCase

_REACH = 9.0
_CLOSE = 1e-12


@dataclass(frozen=True, slots=True)
class Gaussian:
    mean: Values
    precision: Values

    @classmethod
    def of(cls, mean: tuple[float, float], covariance: tuple[float, float, float]) -> Gaussian:
        """`covariance` as xx, xy, yy."""
        xx, xy, yy = covariance
        return cls(np.array(mean), _inverse(np.array([[xx, xy], [xy, yy]])))

    @property
    def covariance(self) -> Values:
        return _inverse(self.precision)

    def logits(self, points: Values) -> Values:
        away = points - self.mean
        found: Values = -0.5 * np.einsum("...i,ij,...j->...", away, self.precision, away)
        return found


def mixture(theta: Gaussian, t: Gaussian, alpha: float) -> Gaussian:
    precision = (1 - alpha) * theta.precision + alpha * t.precision
    pull = (1 - alpha) * theta.precision @ theta.mean + alpha * t.precision @ t.mean
    return Gaussian(_inverse(precision) @ pull, precision)


def kl(q: Gaussian, p: Gaussian) -> float:
    away = q.mean - p.mean
    return 0.5 * float(np.trace(p.precision @ q.covariance) - 2 + away @ p.precision @ away
                       + _log_det(q.precision) - _log_det(p.precision))


def log_z(theta: Gaussian, t: Gaussian, alpha: float) -> float:
    """Of the normalised densities."""
    q = mixture(theta, t, alpha)
    weights = ((1 - alpha, theta), (alpha, t), (-1.0, q))
    return 0.5 * sum(weight * (_log_det(each.precision) - float(each.mean @ each.precision @ each.mean))
                     for weight, each in weights)


def kl_root(theta: Gaussian, t: Gaussian) -> float:
    def gap(alpha: float) -> float:
        q = mixture(theta, t, alpha)
        return kl(q, theta) - kl(q, t)

    return float(brentq(gap, 0.0, 1.0, xtol=_CLOSE))


def chernoff(theta: Gaussian, t: Gaussian) -> float:
    """The minimiser of log Z, found without a derivative."""
    return float(minimize_scalar(lambda alpha: log_z(theta, t, alpha), bounds=(0.0, 1.0), method="bounded",
                                 options={"xatol": _CLOSE}).x)


def ess_root(theta: Gaussian, t: Gaussian) -> float:
    """Between the α from which on the student's ESS is 0 and the one up to which the teacher's is."""
    high = min(1.0, _last(theta, t))
    low = max(0.0, 1.0 - _last(t, theta))
    margin = 1e-9 * (high - low)
    return float(brentq(lambda alpha: log_z(theta, t, 2 - alpha) - log_z(theta, t, -alpha), low + margin,
                        high - margin, xtol=_CLOSE))


def checked(name: str, student: tuple[tuple[float, float], tuple[float, float, float]],
            teacher: tuple[tuple[float, float], tuple[float, float, float]], cells: int) -> GaussianCase:
    theta, t = Gaussian.of(*student), Gaussian.of(*teacher)
    fine, coarse = (_on_grid(theta, t, count) for count in (cells, cells // 2))
    return GaussianCase(
        name=name, student_mean=student[0], student_covariance=student[1], teacher_mean=teacher[0],
        teacher_covariance=teacher[1], kl_alpha=kl_root(theta, t), chernoff=chernoff(theta, t),
        ess_alpha=ess_root(theta, t), kl_alpha_grid=fine["kl_symmetry"], ess_alpha_grid=fine["ess_balance"],
        entropy=(fine["entropy"], coarse["entropy"]),
    )


def _on_grid(theta: Gaussian, t: Gaussian, cells: int) -> dict[str, float]:
    """The solvers see the densities at the middles of the cells as two rows of logits."""
    axis = (np.arange(cells) + 0.5) / cells * 2 * _REACH - _REACH
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    rows = [each.logits(points).astype(np.float32)[None] for each in (theta, t)]
    return {method: float(solved.alpha(method, *rows)[0][0]) for method in ("kl_symmetry", "ess_balance", "entropy")}


def _last(theta: Gaussian, t: Gaussian) -> float:
    """The α from which on Z(−α) is infinite."""
    largest = float(eigvalsh(t.precision, theta.precision).max())
    return 1.0 / (largest - 1.0) if largest > 1.0 else math.inf


def _inverse(matrix: Values) -> Values:
    return np.linalg.inv(matrix).astype(np.float64)


def _log_det(matrix: Values) -> float:
    return float(np.linalg.slogdet(matrix).logabsdet)
