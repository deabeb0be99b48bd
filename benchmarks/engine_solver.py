"""`make bench NAME=engine-solver`: the solver of KL symmetry against twelve steps of bisection on the same
log-probabilities, each step with both divergences in full; plain and compiled.
"""

from __future__ import annotations

import statistics

import torch
from torch import Tensor

from benchmarks.results import Figure, record
from benchmarks.smollm2_pair import Bench, cpu_seconds
from qstar_core.engine.pair import pair_runner
from qstar_core.mixture.alpha import AlphaOptions, choose, method_of
from qstar_core.mixture.geometric import moments, pair_of

_ROWS = 32
_TURNS = 7
_BISECTIONS = 12
_OPTIONS = AlphaOptions()


def main() -> None:
    theta, t = _logits()
    pair = pair_of(theta, t, fused=True)
    wide = pair_of(theta.double(), t.double())
    logp_theta, logp_t = pair.logp_theta_B_V, pair.logp_t_B_V
    compiled = torch.compile(_bisection)
    ways = {"newton": lambda: choose(pair, method_of(_OPTIONS), _OPTIONS).alpha_B,
            "bisection": lambda: _bisection(logp_theta, logp_t),
            "compiled bisection": lambda: compiled(logp_theta, logp_t)}
    worst = {name: moments(wide, way()).g_B.abs().max().item() for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_TURNS):
        for name, way in ways.items():
            seconds[name].append(cpu_seconds(way))
    record("engine-solver", [
        Figure("engine-solver-speed", _ratio(seconds, "bisection"), "× plain bisection", 15, at_most=False),
        Figure("engine-solver-speed-compiled", _ratio(seconds, "compiled bisection"), "× compiled bisection"),
        Figure("engine-solver-kl-difference", worst["newton"], "nats, largest, in float64", 1e-5),
        Figure("engine-solver-bisection-kl-difference", worst["bisection"], "nats, largest, in float64"),
    ], "make bench NAME=engine-solver",
        f"{_ROWS} rows of SmolLM2-135M with and without the answer in the prompt, vocabulary {theta.shape[-1]}; CPU "
        f"seconds, one thread, median of {_TURNS} turns.")


def _ratio(seconds: dict[str, list[float]], other: str) -> float:
    return statistics.median(slow / fast for slow, fast in zip(seconds[other], seconds["newton"], strict=True))


def _bisection(logp_theta_B_V: Tensor, logp_t_B_V: Tensor) -> Tensor:
    """KL(q‖θ) − KL(q‖t) rises with α; halve the interval on its sign."""
    low = torch.zeros(logp_theta_B_V.shape[0])
    high = torch.ones_like(low)
    for _ in range(_BISECTIONS):
        alpha = 0.5 * (low + high)
        logq = torch.log_softmax((1 - alpha[:, None]) * logp_theta_B_V + alpha[:, None] * logp_t_B_V, dim=-1)
        q = logq.exp()
        below = (q * (logq - logp_theta_B_V)).sum(-1) < (q * (logq - logp_t_B_V)).sum(-1)
        low, high = torch.where(below, alpha, low), torch.where(below, high, alpha)
    return 0.5 * (low + high)


def _logits() -> tuple[Tensor, Tensor]:
    """What both roles say after the prompts and one token of the answer."""
    bench = Bench()
    vocab = max(bench.tokenizer.vocabulary.values()) + 1
    runner = pair_runner(bench.model, bench.model, _ROWS, 128, vocab, True, True)
    pairs = bench.pairs[:_ROWS]
    first = torch.stack([runner.prefill(slot, pair)[1].argmax() for slot, pair in enumerate(pairs)])
    theta, t = runner.decode(first, torch.tensor([len(pair.student_ids) for pair in pairs]),
                             torch.tensor([len(pair.teacher_ids) for pair in pairs]),
                             torch.ones(_ROWS, dtype=torch.bool))
    return theta.clone(), t.clone()


if __name__ == "__main__":
    main()
