"""Diagnostics rows for tests: of this pipeline, and of older tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


def older_rows(count: int, seed: int = 0, shift: float = 0.0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [
        {"sample_idx": i, "alpha_mean": float(rng.normal(0.5 + shift, 0.1)), "alpha_std": 0.2,
         "ess_ratio_mean": float(rng.normal(1.0, 0.15)), "ess_ratio_std": 0.1,
         "kl_theta_mean": float(rng.gamma(3, 0.02)), "kl_t_mean": float(rng.gamma(3, 0.02))}
        for i in range(count)
    ]


def our_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Two of three rows are kept; every tenth has only boundary tokens and so no ESS ratio."""
    rows = older_rows(count, seed)
    for i, row in enumerate(rows):
        dropped = i % 3 == 2
        row |= {
            "sample_id": f"s{i}", "prompt_id": f"p{i}", "draw": 0, "outcome": "dropped" if dropped else "kept",
            "reason": "wrong answer" if dropped else "", "tokens": 10 + i, "ess_ratio_geometric_mean": 0.98,
            "kl_abs_difference_mean": 0.001, "divergent_tokens": 3, "divergent_ess_ratio_mean": 0.9,
            "log_z_sum": -1.0, "logp_theta_sum": -9.0, "logp_t_sum": -8.0, "logq_sum": -7.0, "boundary_tokens": 0,
            "clamped_tokens": 0, "unconverged_tokens": 0, "policy_tokens": 0, "entropy_theta_mean": 0.8,
            "entropy_t_mean": 0.5,
        }
        if i % 10 == 9:
            row |= {"ess_ratio_mean": None, "ess_ratio_std": None, "ess_ratio_geometric_mean": None}
    return rows


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
