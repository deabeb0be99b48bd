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
from qstar_core.mixture.fused import Passes, is_fused
from qstar_core.mixture.geometric import Pair, Survey, pair_of, survey
from qstar_core.mixture.normalise import widened
from qstar_core.mixture.policies.base import Policy
from qstar_core.mixture.policies.chain import decided
from qstar_core.mixture.support import Role, SupportCut
from qstar_core.mixture.target import Target, target_of
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


_COLD = 1e-2
"""At this temperature and below float32 does not tell apart what the logits differ in once they are divided."""


class Mixer:
    """`sharpen` = s draws from q^s, normalised; α, the KLs, both ESS and log Z stay those of q. `passes` says whether
    what runs over the whole vocabulary is compiled."""

    def __init__(self, options: AlphaOptions, temperature: float = 1.0, diagnostics: bool = True, *,
                 sharpen: float = 1.0, support: SupportCut | None = None, policies: Sequence[Policy] = (),
                 top_logprobs: int = 0, passes: Passes = "off") -> None:
        self._options = options
        self._method = method_of(options)
        self._temperature = temperature
        self._diagnostics = diagnostics
        self._sharpen = sharpen
        self._support = support if support is not None and support.cuts else None
        self._policies = tuple(policies)
        self._top_logprobs = top_logprobs
        self._passes = passes
        self._fused: bool | None = None

    @torch.no_grad()
    def step(self, logits_theta_B_V: Tensor, logits_t_B_V: Tensor, key_B: Tensor, position_B: Tensor,
             proposed_B: Tensor | None = None) -> Step:
        """Any number of rows. `proposed`: the student's own tokens for these rows and counters, where they are known
        from `propose`; the result is the same without them."""
        theta, t = logits_theta_B_V, logits_t_B_V
        plain = pair_of(theta, t, self._is_fused(theta))
        pair = plain if self._is_plain else self._limited_pair(theta, t)
        solution = choose(pair, self._method, self._options)
        if self._policies:
            solution = decided(self._policies, pair, position_B, solution, self._method)
        found = survey(pair, solution.alpha_B, solution.known)
        target = target_of(pair, solution, found.log_z_B, self._sharpen)
        token_B = coupled_draw(target, key_B, position_B, proposed_B)
        return Step(
            token_B=token_B,
            failed_theta_B=pair.failed_theta_B,
            failed_t_B=pair.failed_t_B,
            disjoint_B=solution.status_B == AlphaStatus.NO_COMMON_SUPPORT,
            diagnostics=self._diagnosed(plain, solution, found, target, token_B) if self._diagnostics else None,
        )

    def _diagnosed(self, plain: Pair, solution: AlphaSolution, found: Survey, target: Target,
                   token_B: Tensor) -> TokenDiagnostics:
        told = diagnose(plain, solution, found, target, token_B)
        return replace(told, top=top_k(target.log_B_V, self._top_logprobs)) if self._top_logprobs else told

    @torch.no_grad()
    def propose(self, logits_theta_B_V: Tensor, key_B: Tensor, position_B: Tensor) -> Tensor:
        """What the student alone would say: the token that `step` starts from at these counters."""
        mixed = logits_theta_B_V if self._is_plain else self._limited(logits_theta_B_V, "student")
        return propose(mixed, key_B, position_B, self._is_fused(mixed))

    @property
    def _is_plain(self) -> bool:
        """Whether the models are mixed as they are."""
        return self._temperature == 1.0 and self._support is None

    def _limited_pair(self, theta_B_V: Tensor, t_B_V: Tensor) -> Pair:
        theta, t = self._limited(theta_B_V, "student"), self._limited(t_B_V, "teacher")
        return pair_of(theta, t, self._is_fused(theta), whole=self._support is None)

    def _limited(self, logits_B_V: Tensor, who: Role) -> Tensor:
        """The largest logit goes first: divided, it would take the digits in which the others differ."""
        wide = logits_B_V.double() if self._temperature <= _COLD else widened(logits_B_V)
        tempered = (wide - wide.amax(-1, keepdim=True)) / self._temperature
        return tempered if self._support is None else self._support(tempered, who)

    def _is_fused(self, logits_B_V: Tensor) -> bool:
        """Compiled passes are for float32 and less."""
        if self._fused is None:
            self._fused = is_fused(self._passes, logits_B_V.device, logits_B_V.shape[-1])
        return self._fused and logits_B_V.dtype != torch.float64
