"""Random pairs of categorical models: the solvers against float64, KL symmetry against ESS balance, and what the
entropy formula is worth as a short cut.
"""

from __future__ import annotations

import math

import numpy as np

from qstar_core.experiments.interval import Values, correlation_of, mean_of, slope_of
from qstar_core.experiments.theory import exact, solved
from qstar_core.experiments.theory.records import Level, Solver
from qstar_core.experiments.theory.settings import Sharpness

_CONDITIONS = {"kl_symmetry": exact.kl_root, "ess_balance": exact.ess_root, "reverse_kl_symmetry": exact.reverse_root}


def checked(level: Sharpness, pairs: int, vocabulary: int, rng: np.random.Generator) -> Level:
    theta_B_V, t_B_V = drawn(level, pairs, vocabulary, rng)
    both = [(exact.normalised(theta), exact.normalised(t)) for theta, t in zip(theta_B_V, t_B_V, strict=True)]
    found = {method: solved.alpha(method, theta_B_V, t_B_V) for method in (*_CONDITIONS, "entropy", "confidence")}
    solvers = []
    for method, condition in _CONDITIONS.items():
        alpha, unsolved = found[method]
        wanted = np.array([condition(*pair) for pair in both])
        solvers.append(Solver(method=method, largest_error=float(np.abs(alpha - wanted).max()), unsolved=unsolved))
    kl_alpha, ess_alpha, entropy, confidence = (
        found[method][0] for method in ("kl_symmetry", "ess_balance", "entropy", "confidence"))
    return Level(
        name=level.name, pairs=pairs, solvers=tuple(solvers),
        identity=max(_identity(*pair) for pair in both),
        residual=max(abs(exact.kl_gap(*pair, alpha)) for pair, alpha in zip(both, kl_alpha, strict=True)),
        further=slope_of(kl_alpha - 0.5, ess_alpha - 0.5), apart=mean_of(np.abs(ess_alpha - kl_alpha)),
        entropy_correlation=correlation_of(entropy, kl_alpha), entropy_error=mean_of(np.abs(entropy - kl_alpha)),
        confidence_correlation=correlation_of(confidence, kl_alpha),
        confidence_error=mean_of(np.abs(confidence - kl_alpha)), half_error=mean_of(np.abs(kl_alpha - 0.5)),
        alpha=tuple(tuple(float(value) for value in row)
                    for row in np.stack([kl_alpha, ess_alpha, entropy, confidence], axis=1)),
    )


def drawn(level: Sharpness, pairs: int, vocabulary: int, rng: np.random.Generator
          ) -> tuple[solved.Logits, solved.Logits]:
    """Logits of student and teacher, [pairs, vocabulary]."""
    shape = pairs, vocabulary
    theta = _dirichlet(level.student, shape, rng)
    if level.teacher is not None:
        t = _dirichlet(level.teacher, shape, rng)
    else:
        t = theta + (level.noise or 0.0) * rng.standard_normal(shape)
    return theta.astype(np.float32), t.astype(np.float32)


def _dirichlet(ends: tuple[float, float], shape: tuple[int, int], rng: np.random.Generator) -> Values:
    """Log-probabilities up to a constant. A sharp Dirichlet's smallest shares are below what float64 can hold, so they
    are drawn as logarithms: Gamma(c) is Gamma(c+1)·U^(1/c)."""
    low, high = (math.log(end) for end in ends)
    concentration = np.exp(rng.uniform(low, high, (shape[0], 1)))
    found: Values = np.log(rng.gamma(concentration + 1.0, size=shape)) + np.log(rng.random(shape)) / concentration
    found -= found.max(-1, keepdims=True)
    return found


def _identity(theta: Values, t: Values) -> float:
    """How far the Chernoff information is from both KLs at the minimiser of log Z."""
    alpha, information = exact.chernoff(theta, t)
    q = exact.mixture(theta, t, alpha)
    return max(abs(exact.kl(q, p) - information) for p in (theta, t))
