"""Token by token against whole sequences, where all sequences can be written down.

q* solves an α at every token. Its KLs to both models then are equal for whole sequences too, by the chain rule. But
among all mixtures that treat the models alike, the sequence-level one at its own Chernoff point is nearest to both:
what q* is further away is exactly KL(q*‖sequence-level target), the price of not looking ahead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from qstar_core.experiments.interval import Interval, Values, mean_of
from qstar_core.experiments.theory import exact, solved
from qstar_core.experiments.theory.records import Position, Sequences
from qstar_core.experiments.theory.settings import TheoryStudy

_RAREST = 1e-12


@dataclass(frozen=True, slots=True)
class Chain:
    """Log-probabilities: row 0 of the first token, row 1 + s of the one after symbol s."""

    log_rows: Values

    def log_law(self, length: int) -> Values:
        """Of every sequence, in the order of itertools.product: one axis a position."""
        law: Values = self.log_rows[0]
        for _ in range(length - 1):
            law = law[..., None] + self.log_rows[1:]
        return law


@dataclass(frozen=True, slots=True)
class Found:
    """Of one pair of chains; `by_position` has the KL of each position, and how far its α are from the whole's."""

    token_to_whole: float
    whole_to_token: float
    chernoff: float
    to_models: tuple[float, float]
    tv: float
    weight: float
    by_position: tuple[tuple[float, float], ...]


def checked(settings: TheoryStudy, rng: np.random.Generator) -> Sequences:
    found = [compared(random_chain(settings.symbols, settings.concentration, rng),
                      random_chain(settings.symbols, settings.concentration, rng), settings.length)
             for _ in range(settings.chains)]
    excess = [one.to_models[0] - one.chernoff for one in found]
    positions = np.array([one.by_position for one in found])
    return Sequences(
        chains=settings.chains, sequences=settings.symbols**settings.length,
        token_to_whole=_mean(one.token_to_whole for one in found),
        whole_to_token=_mean(one.whole_to_token for one in found),
        chernoff=_mean(one.chernoff for one in found), excess=_mean(excess), tv=_mean(one.tv for one in found),
        identity=max(abs(each - one.token_to_whole) for each, one in zip(excess, found, strict=True)),
        symmetry=max(abs(one.to_models[0] - one.to_models[1]) for one in found),
        weight=max(one.weight for one in found),
        positions=tuple(Position(position=at + 1, kl=mean_of(positions[:, at, 0]), apart=mean_of(positions[:, at, 1]))
                        for at in range(settings.length)),
    )


def random_chain(symbols: int, concentration: float, rng: np.random.Generator) -> Chain:
    """Rounded to float32 first: what the solvers get is then what is enumerated."""
    rows = np.log(rng.dirichlet(np.full(symbols, concentration), symbols + 1).clip(_RAREST)).astype(np.float32)
    return Chain(np.stack([exact.normalised(row) for row in rows]))


def compared(theta: Chain, t: Chain, length: int) -> Found:
    law_theta, law_t = theta.log_law(length), t.log_law(length)
    whole_alpha, information = exact.chernoff(law_theta.ravel(), law_t.ravel())
    whole = exact.mixture(law_theta, law_t, whole_alpha)
    alpha = solved.alpha("kl_symmetry", *(chain.log_rows.astype(np.float32) for chain in (theta, t)))[0]
    mixed = _mixed(theta, t, alpha)
    token = mixed.log_law(length)
    return Found(
        token_to_whole=exact.kl(token, whole), whole_to_token=exact.kl(whole, token), chernoff=information,
        to_models=(exact.kl(token, law_theta), exact.kl(token, law_t)),
        tv=0.5 * float(np.abs(np.exp(token) - np.exp(whole)).sum()),
        weight=_weight_error(theta, t, whole_alpha, whole),
        by_position=tuple(_by_position(whole, mixed.log_rows, np.abs(alpha - whole_alpha))),
    )


def _by_position(whole: Values, rows: Values, apart: Values) -> Iterator[tuple[float, float]]:
    """Of every position, over the beginnings that the sequence-level target makes: KL(target‖q*) of the next token."""
    symbols, length = whole.shape[0], whole.ndim
    for at in range(length):
        begun = logsumexp(whole, axis=tuple(range(at + 1, length))) if at + 1 < length else whole
        before = logsumexp(begun, axis=-1, keepdims=True)
        state = np.zeros(1, dtype=int) if at == 0 else np.arange(1, symbols + 1)
        gap = np.exp(begun) * (begun - before - rows[state] if at else begun - before - rows[0])
        share = np.exp(before[..., 0])
        yield float(gap.sum()), float((share * (apart[state] if at else apart[0])).sum())


def _weight_error(theta: Chain, t: Chain, alpha: float, whole: Values) -> float:
    """The mixture with one α at every token, weighted by Σ log Z, is the sequence-level target."""
    log_z = solved.log_z(theta.log_rows.astype(np.float32), t.log_rows.astype(np.float32), alpha)
    local = _mixed(theta, t, np.full(len(log_z), alpha))
    weights = Chain(np.broadcast_to(log_z[:, None], local.log_rows.shape))
    weighted = local.log_law(whole.ndim) + weights.log_law(whole.ndim)
    return float(np.abs(weighted - logsumexp(weighted) - whole).max())


def _mixed(theta: Chain, t: Chain, alpha: Values) -> Chain:
    """Row by row, each at its own α."""
    rows = zip(theta.log_rows, t.log_rows, alpha, strict=True)
    return Chain(np.stack([exact.mixture(ours, theirs, float(at)) for ours, theirs, at in rows]))


def _mean(values: Iterable[float]) -> Interval:
    return mean_of(np.array(list(values)))
