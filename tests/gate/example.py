"""A round's columns for tests: every number known, every prompt with as many samples as is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from qstar_core.config import GateSettings
from qstar_core.gate.judge import judge
from qstar_core.gate.version import Given, Previous, Samples, SuiteResult, Texts
from qstar_core.records import GateCheck

PROMPTS, DRAWS = 60, 2
COUNT = PROMPTS * DRAWS
COLUMNS: dict[str, float] = {
    "tokens": 10, "alpha_mean": 0.5, "alpha_std": 0.1, "kl_theta_mean": 0.1, "kl_t_mean": 0.1,
    "kl_abs_difference_mean": 0.001, "ess_ratio_mean": 1.0, "ess_ratio_std": 0.1, "ess_ratio_geometric_mean": 1.0,
    "divergent_tokens": 4, "divergent_ess_ratio_mean": 1.0, "log_z_sum": -1.0, "logp_theta_sum": -5.0,
    "logp_t_sum": -5.0, "logq_sum": -4.0, "boundary_tokens": 0, "clamped_tokens": 0, "unconverged_tokens": 0,
    "entropy_theta_mean": 0.8, "entropy_t_mean": 0.5, "policy_tokens": 0,
}
WORDS = ("one", "two")


def prompts() -> Any:
    return np.repeat(np.arange(PROMPTS), DRAWS)


def ids() -> Any:
    return np.asarray([f"s{index:03d}" for index in range(COUNT)], dtype=object)


def per_prompt(low: float, high: float) -> Any:
    """Half of the prompts have one value, half the other: the mean is uncertain."""
    return np.repeat(np.where(np.arange(PROMPTS) % 2, low, high), DRAWS)


def samples(kept: Any = True, failed: Any = False, **columns: Any) -> Samples:
    return Samples(id_N=ids(), prompt_N=prompts(), kept_N=np.broadcast_to(np.asarray(kept, dtype=bool), COUNT),
                   passed_N=np.broadcast_to(np.asarray(kept, dtype=bool), COUNT),
                   failed_N=np.broadcast_to(np.asarray(failed, dtype=bool), COUNT),
                   columns={name: np.broadcast_to(np.asarray(columns.get(name, value), dtype=np.float64), COUNT)
                            for name, value in COLUMNS.items()})


def texts(tokens: Any = None, hedges: Any = 0.0, leaks: Any = False, hashes: Any = None,
          vocabulary: Any = None) -> Texts:
    def full(value: Any, kind: Any = np.float64) -> Any:
        return np.broadcast_to(np.asarray(value, dtype=kind), COUNT)

    return Texts(
        id_N=ids(), prompt_N=prompts(), tokens_N=lengths() if tokens is None else full(tokens), words_N=full(20.0),
        hedges_N=full(hedges), leaks_N=full(leaks, bool),
        hash_N=np.arange(COUNT, dtype=np.uint64) if hashes is None else hashes,
        vocabulary_N_V=np.tile([4.0, 4.0, 2.0], (COUNT, 1)) if vocabulary is None else vocabulary,
    )


def lengths() -> Any:
    return np.arange(COUNT, dtype=np.float64) % 20 + 5


def previous(**changes: Any) -> Previous:
    values: dict[str, Any] = {"version": "before-1", "tokens_N": lengths(), "words": WORDS,
                              "counts_V": np.asarray([400.0, 400.0, 200.0])}
    return Previous(**(values | changes))


def suites(**failed: tuple[str, ...]) -> tuple[SuiteResult, ...]:
    return tuple(SuiteResult(name, 10, failed.get(name, ()), ("s001",) if name in failed else ())
                 for name in ("schema", "data", "diagnostics", "traces"))


def given(**changes: Any) -> Given:
    values: dict[str, Any] = {"samples": samples(), "texts": texts(), "previous": previous(),
                              "earlier": np.asarray([10**9], dtype=np.uint64), "suites": suites(),
                              "method": "kl_symmetry"}
    return Given(**(values | changes))


def checks(gate: GateSettings | None = None, **changes: Any) -> dict[str, GateCheck]:
    return {check.name: check for check in judge(gate or GateSettings(), given(**changes)).checks}
