"""One step of q*: two rows of logits in, one token and its diagnostics out.

Temperature, then support limits, then α: the method, the bounds, the policies. Then `sharpen`, and the draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from qstar_core.mixture.alpha import AlphaOptions, AlphaSolution, AlphaStatus, choose, method_of
from qstar_core.mixture.diagnostics import TokenDiagnostics, diagnose
from qstar_core.mixture.draw import coupled_draw, propose
from qstar_core.mixture.geometric import Pair, log_q, pair_of
from qstar_core.mixture.policies.base import Policy
from qstar_core.mixture.policies.chain import decided
from qstar_core.mixture.support import SupportCut
from qstar_core.mixture.topk import top_k


@dataclass(frozen=True, slots=True)
class Step:
    """`failed_theta`/`failed_t`: the model gave NaN, +inf or no token. `disjoint`: no token is possible for both.
    The token of such a row means nothing."""

    token_B: Tensor
    failed_theta_B: Tensor
    failed_t_B: Tensor
    disjoint_B: Tensor
    diagnostics: TokenDiagnostics | None


class Mixer:
    """`sharpen` = s draws from q^s, normalised; α, the KLs, both ESS and log Z stay those of q."""

    def __init__(self, options: AlphaOptions, temperature: float = 1.0, diagnostics: bool = True, *,
                 sharpen: float = 1.0, support: SupportCut | None = None, policies: Sequence[Policy] = (),
                 top_logprobs: int = 0) -> None:
        self._options = options
        self._method = method_of(options)
        self._temperature = temperature
        self._diagnostics = diagnostics
        self._sharpen = sharpen
        self._support = support if support is not None and support.cuts else None
        self._policies = tuple(policies)
        self._top_logprobs = top_logprobs

    def step(self, logits_theta_B_V: Tensor, logits_t_B_V: Tensor, key_B: Tensor, position_B: Tensor) -> Step:
        theta, t = logits_theta_B_V.float(), logits_t_B_V.float()
        plain = pair_of(theta, t)
        pair = self._limited(theta, t, plain)
        solution = choose(pair, self._method, self._options)
        if self._policies:
            solution = decided(self._policies, pair, position_B, solution, self._method)
        logq_B_V = _drawn_from(pair, solution)
        if self._sharpen != 1.0:
            logq_B_V = torch.log_softmax(self._sharpen * logq_B_V, dim=-1)
        token_B = coupled_draw(pair.logp_theta_B_V, logq_B_V, key_B, position_B)
        return Step(
            token_B=token_B,
            failed_theta_B=pair.logp_theta_B_V.isnan().any(-1),
            failed_t_B=pair.logp_t_B_V.isnan().any(-1),
            disjoint_B=solution.status_B == AlphaStatus.NO_COMMON_SUPPORT,
            diagnostics=self._diagnosed(pair, plain, solution, logq_B_V, token_B) if self._diagnostics else None,
        )

    def propose(self, logits_theta_B_V: Tensor, key_B: Tensor, position_B: Tensor) -> Tensor:
        """The token that `step` proposes with these counters: the student's draw from what is mixed of it."""
        theta = logits_theta_B_V.float()
        if self._temperature != 1.0:
            theta = theta / self._temperature
        if self._support is not None:
            theta = self._support.student(theta)
        return propose(torch.log_softmax(theta, dim=-1), key_B, position_B)

    def _diagnosed(self, pair: Pair, plain: Pair, solution: AlphaSolution, logq_B_V: Tensor,
                   token_B: Tensor) -> TokenDiagnostics:
        found = diagnose(pair, plain, solution, logq_B_V, token_B)
        return replace(found, top=top_k(logq_B_V, self._top_logprobs)) if self._top_logprobs else found

    def _limited(self, theta_B_V: Tensor, t_B_V: Tensor, plain: Pair) -> Pair:
        """What is mixed: the plain models, unless a temperature or a limit makes them others."""
        if self._temperature == 1.0 and self._support is None:
            return plain
        theta, t = theta_B_V / self._temperature, t_B_V / self._temperature
        return pair_of(*(self._support(theta, t) if self._support else (theta, t)))


def _drawn_from(pair: Pair, solution: AlphaSolution) -> Tensor:
    """log q; where α was set, not solved, the ends are the models themselves."""
    logq = log_q(pair, solution.alpha_B)
    if solution.pure_B is None:
        return logq
    alpha_B, pure_B = solution.alpha_B, solution.pure_B
    logq = torch.where((pure_B & (alpha_B == 0.0))[:, None], pair.logp_theta_B_V, logq)
    return torch.where((pure_B & (alpha_B == 1.0))[:, None], pair.logp_t_B_V, logq)
