"""What the project's own solvers say about rows of logits, in the precision that an engine hands them over in."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from qstar_core.experiments.interval import Values
from qstar_core.mixture.alpha import AlphaOptions, AlphaStatus, choose, method_of
from qstar_core.mixture.geometric import moments, pair_of

Logits = np.ndarray[Any, np.dtype[np.float32]]


def alpha(method: str, theta_B_V: Logits, t_B_V: Logits) -> tuple[Values, int]:
    """α of every row, and how many rows are not solved to the tolerance."""
    options = AlphaOptions(method)
    pair = pair_of(torch.from_numpy(theta_B_V), torch.from_numpy(t_B_V))
    found = choose(pair, method_of(options), options)
    return found.alpha_B.numpy(), int((found.status_B != AlphaStatus.OK).sum())


def log_z(theta_B_V: Logits, t_B_V: Logits, alpha: float) -> Values:
    pair = pair_of(torch.from_numpy(theta_B_V), torch.from_numpy(t_B_V))
    return moments(pair, torch.full((pair.rows_count,), alpha, dtype=torch.float64)).log_z_B.double().numpy()
