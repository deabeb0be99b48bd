"""What a token is drawn from: q, or one of the models where α was set to its end, to the power of `sharpen`.

log q is formed at a token, or inside of a pass; it is never stored whole.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from qstar_core.mixture.alpha import AlphaSolution
from qstar_core.mixture.fused import fusable, spread
from qstar_core.mixture.geometric import Pair


class Target(NamedTuple):
    """log target = power · path − offset."""

    pair: Pair
    alpha_B: Tensor
    pure_theta_B: Tensor
    pure_t_B: Tensor
    power_B: Tensor
    offset_B: Tensor

    @property
    def fused(self) -> bool:
        return self.pair.fused

    @property
    def rows_count(self) -> int:
        return self.pair.rows_count

    @property
    def width(self) -> int:
        return self.pair.width

    def rows(self, index_B: Tensor) -> Target:
        return Target(self.pair.rows(index_B), *(part[index_B] for part in self[1:]))

    def split(self, parts: int) -> Target:
        return Target(self.pair.split(parts), *(spread(part, parts) for part in self[1:]))

    def columns(self, token_B: Tensor) -> Target:
        return self._replace(pair=self.pair.columns(token_B))

    @property
    def log_B_V(self) -> Tensor:
        return self._path() - self.offset_B[:, None]

    def _path(self) -> Tensor:
        base, delta = self.pair.path()
        path = base + self.alpha_B[:, None] * delta
        path = torch.where(self.pure_theta_B[:, None], self.pair.logp_theta_B_V, path)
        return self.power_B[:, None] * torch.where(self.pure_t_B[:, None], self.pair.logp_t_B_V, path)

    def normalised(self) -> Target:
        return self._replace(offset_B=_log_mass(self))


def target_of(pair: Pair, solution: AlphaSolution, log_z_B: Tensor, sharpen: float = 1.0) -> Target:
    """`log_z` is log Z at the solution's α: without a power, it is all that normalises q."""
    pure_theta_B, pure_t_B = solution.pure_theta_B, solution.pure_t_B
    offset_B = log_z_B.masked_fill(pure_theta_B | pure_t_B, 0.0)
    target = Target(pair, solution.alpha_B.to(pair.dtype), pure_theta_B, pure_t_B,
                    torch.full_like(offset_B, sharpen), offset_B)
    return target if sharpen == 1.0 else target.normalised()


@fusable
def _log_mass(target: Target) -> Tensor:
    """With the maximum taken out: a large power leaves little of it."""
    path = target._path()
    top_B = path.amax(-1)
    return top_B + (path - top_B[:, None]).exp().sum(-1).log()
