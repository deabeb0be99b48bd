"""The geometric path between two categorical distributions in float64, one pair at a time, from the formulas alone.

Nothing of qstar_core.mixture is called here: this is what its solvers are held against. Arguments are finite
log-probabilities; roots and minima are scipy's.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import logsumexp

from qstar_core.experiments.interval import Values

_CLOSE = 1e-12


def normalised(logits: Values) -> Values:
    wide = logits.astype(np.float64)
    found: Values = wide - logsumexp(wide)
    return found


def log_z(theta: Values, t: Values, alpha: float) -> float:
    return float(logsumexp((1 - alpha) * theta + alpha * t))


def mixture(theta: Values, t: Values, alpha: float) -> Values:
    """log q_α."""
    return (1 - alpha) * theta + alpha * t - log_z(theta, t, alpha)


def kl(q: Values, p: Values) -> float:
    return float(np.sum(np.exp(q) * (q - p)))


def kl_gap(theta: Values, t: Values, alpha: float) -> float:
    """KL(q‖θ) − KL(q‖t)."""
    q = mixture(theta, t, alpha)
    return kl(q, theta) - kl(q, t)


def kl_root(theta: Values, t: Values) -> float:
    """Where both KLs are equal."""
    return float(brentq(lambda alpha: kl_gap(theta, t, alpha), 0.0, 1.0, xtol=_CLOSE))


def chernoff(theta: Values, t: Values) -> tuple[float, float]:
    """The minimiser of log Z on [0, 1] without a derivative, and −log Z there: the Chernoff information."""
    found = minimize_scalar(lambda alpha: log_z(theta, t, alpha), bounds=(0.0, 1.0), method="bounded",
                            options={"xatol": _CLOSE})
    return float(found.x), -float(found.fun)


def ess_root(theta: Values, t: Values) -> float:
    """Where both effective sample sizes are equal: Z(−α) = Z(2−α)."""
    return float(brentq(lambda alpha: log_z(theta, t, 2 - alpha) - log_z(theta, t, -alpha), 0.0, 1.0, xtol=_CLOSE))


def reverse_root(theta: Values, t: Values) -> float:
    """Where KL(θ‖q) = KL(t‖q)."""
    def gap(alpha: float) -> float:
        q = mixture(theta, t, alpha)
        return kl(theta, q) - kl(t, q)

    return float(brentq(gap, 0.0, 1.0, xtol=_CLOSE))


def entropy(p: Values) -> float:
    return -float(np.sum(np.exp(p) * p))
