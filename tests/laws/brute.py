"""The theory in float64 numpy, written from the formulas alone: one pair of distributions at a time, every sum in full.

Distributions are log-probabilities; −inf is a token that cannot be. Nothing of the code under test is called here.
"""

from __future__ import annotations

import numpy as np

IMPOSSIBLE = -np.inf


def normalise(logits) -> np.ndarray:
    logits = np.asarray(logits, dtype=np.float64)
    return logits - log_sum(logits)


def log_sum(terms: np.ndarray) -> float:
    terms = np.asarray(terms, dtype=np.float64)
    top = terms.max() if terms.size else IMPOSSIBLE
    return float(top) if not np.isfinite(top) else float(top + np.log(np.exp(terms - top).sum()))


def common(theta: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.isfinite(theta) & np.isfinite(t)


def log_z(theta: np.ndarray, t: np.ndarray, alpha: float) -> float:
    both = common(theta, t)
    return log_sum((1 - alpha) * theta[both] + alpha * t[both])


def mix(theta: np.ndarray, t: np.ndarray, alpha: float) -> np.ndarray:
    """log q_α on the common support, renormalised."""
    both = common(theta, t)
    out = np.full(theta.shape, IMPOSSIBLE)
    out[both] = (1 - alpha) * theta[both] + alpha * t[both] - log_z(theta, t, alpha)
    return out


def kl(q: np.ndarray, p: np.ndarray) -> float:
    has = np.isfinite(q) & (np.exp(q) > 0)
    if (p[has] == IMPOSSIBLE).any():
        return float("inf")
    return float(np.sum(np.exp(q[has]) * (q[has] - p[has])))


def slope(theta: np.ndarray, t: np.ndarray, alpha: float) -> float:
    """KL(q‖θ) − KL(q‖t) = E_q[log π_t − log π_θ]."""
    q, both = mix(theta, t, alpha), common(theta, t)
    return float(np.sum(np.exp(q[both]) * (t[both] - theta[both])))


def ess(p: np.ndarray, q: np.ndarray) -> float:
    """1 / Σ p²/q; 0 where p has mass that q has not."""
    has = np.isfinite(p)
    if (q[has] == IMPOSSIBLE).any():
        return 0.0
    return float(np.exp(-log_sum(2 * p[has] - q[has])))


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    return float(0.5 * np.abs(np.exp(p) - np.exp(q)).sum())


def entropy(p: np.ndarray) -> float:
    mass = np.exp(p[np.isfinite(p)])
    mass = mass[mass > 0]
    return float(-(mass * np.log(mass)).sum())


def root(theta: np.ndarray, t: np.ndarray) -> float:
    """The minimiser of the convex log Z on [0, 1], by bisection on its slope."""
    if slope(theta, t, 0.0) >= 0:
        return 0.0
    if slope(theta, t, 1.0) <= 0:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        if slope(theta, t, middle) < 0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def log_ess_ratio(theta: np.ndarray, t: np.ndarray, alpha: float) -> float:
    """log ESS_θ/ESS_t = log Z(2−α) − log Z(−α); for models of one support."""
    return log_z(theta, t, 2 - alpha) - log_z(theta, t, -alpha)


def ess_root(theta: np.ndarray, t: np.ndarray) -> float:
    """Where both ESS are the same, by bisection: the ratio falls with α."""
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        if log_ess_ratio(theta, t, middle) > 0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def reverse_gap(theta: np.ndarray, t: np.ndarray, alpha: float) -> float:
    """KL(θ‖q) − KL(t‖q)."""
    q = mix(theta, t, alpha)
    return kl(theta, q) - kl(t, q)


def reverse_root(theta: np.ndarray, t: np.ndarray) -> float:
    there, back = kl(theta, t), kl(t, theta)
    return back / (there + back)


def nearly(logp: np.ndarray, missing: float) -> np.ndarray:
    """The same distribution with a tiny log-probability in place of each impossible token."""
    return normalise(np.where(np.isfinite(logp), logp, missing))
