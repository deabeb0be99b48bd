"""What is measured about every token, and how it is summed up per sample.

KL(q‖θ) = α·g − log Z and KL(q‖t) = (α−1)·g − log Z. ESS_p(q) = 1/Σ p²/q, so ESS_θ = 1/(Z(α)·Z(−α)) and
ESS_t = 1/(Z(α)·Z(2−α)); a model with mass where q has none has ESS 0. Their ratio Z(2−α)/Z(−α) is taken in log space.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from qstar_core.mixture.alpha import AlphaSolution, AlphaStatus
from qstar_core.mixture.geometric import Pair, Survey
from qstar_core.mixture.target import Target
from qstar_core.records import MixSummary, Trace

DIVERGENT_TV = 0.05


@dataclass(frozen=True, slots=True)
class TokenDiagnostics:
    """One value per row; the columns of a Trace. `top` is that of `topk.top_k`, where it was asked for."""

    token: Tensor
    logp_theta: Tensor
    logp_t: Tensor
    logq: Tensor
    alpha: Tensor
    kl_theta: Tensor
    kl_t: Tensor
    ess_theta: Tensor
    ess_t: Tensor
    log_z: Tensor
    tv: Tensor
    entropy_theta: Tensor
    entropy_t: Tensor
    status: Tensor
    top: Tensor | None = None

    def stacked(self) -> Tensor:
        """[B, columns] float64: one transfer from the device for all of a step's values; `top` comes last."""
        columns = torch.stack([getattr(self, name).double() for name in _COLUMNS], dim=1)
        return columns if self.top is None else torch.cat([columns, self.top], dim=1)


_COLUMNS = tuple(field.name for field in fields(TokenDiagnostics) if field.name != "top")


def diagnose(plain: Pair, solution: AlphaSolution, found: Survey, target: Target, token_B: Tensor) -> TokenDiagnostics:
    """`found` and `target` are of what was mixed, after temperature and limits; `plain` are the models as they are,
    whose log-probabilities and entropies are kept."""
    pair, alpha_B, g_B = solution.pair, solution.alpha_B, found.g_B
    pure_theta_B, pure_t_B = target.pure_theta_B, target.pure_t_B
    log_z_B = found.log_z_B.masked_fill(pure_theta_B | pure_t_B, 0.0)
    kl_theta_B = (alpha_B * g_B - log_z_B).clamp_min(0.0).masked_fill(pure_theta_B, 0.0)
    kl_t_B = ((alpha_B - 1.0) * g_B - log_z_B).clamp_min(0.0).masked_fill(pure_t_B, 0.0)
    ess_theta_B = torch.exp(-(log_z_B + found.log_z_below_B)).masked_fill(pure_theta_B, 1.0)
    ess_t_B = torch.exp(-(log_z_B + found.log_z_above_B)).masked_fill(pure_t_B, 1.0)
    q_covers_theta_B = pair.theta_inside_t_B | pure_theta_B
    q_covers_t_B = pair.t_inside_theta_B | pure_t_B
    said = plain.columns(token_B)
    return TokenDiagnostics(
        token=token_B,
        logp_theta=said.logp_theta_B_V[:, 0],
        logp_t=said.logp_t_B_V[:, 0],
        logq=target.columns(token_B).log_B_V[:, 0],
        alpha=alpha_B,
        kl_theta=kl_theta_B.masked_fill(pure_t_B & ~pair.t_inside_theta_B, float("inf")),
        kl_t=kl_t_B.masked_fill(pure_theta_B & ~pair.theta_inside_t_B, float("inf")),
        ess_theta=ess_theta_B.masked_fill(~q_covers_theta_B, 0.0),
        ess_t=ess_t_B.masked_fill(~q_covers_t_B, 0.0),
        log_z=log_z_B,
        tv=found.tv_B,
        entropy_theta=plain.entropy_theta_B,
        entropy_t=plain.entropy_t_B,
        status=solution.status_B,
    )


def trace_of(rows: np.ndarray) -> Trace:
    """[tokens, columns] → Trace, in the order of `TokenDiagnostics.stacked`."""
    columns, top = dict(zip(_COLUMNS, rows.T, strict=False)), rows[:, len(_COLUMNS):]
    integers = {name: columns.pop(name).astype(np.int32) for name in ("token", "status")}
    floats = {name: column.astype(np.float32) for name, column in columns.items()}
    if not top.size:
        return Trace(**integers, **floats)
    token, logq = np.split(top, 2, axis=1)
    return Trace(**integers, **floats, top_token=token.astype(np.int32), top_logq=logq.astype(np.float32))


def summarise(trace: Trace) -> MixSummary:
    """Means over the tokens of one sample. Tokens whose ESS ratio is 0, ∞ or undefined, or whose KL is infinite, are
    left out of those means and counted."""
    with np.errstate(divide="ignore", invalid="ignore"):
        log_ratio = np.log(trace.ess_theta.astype(np.float64)) - np.log(trace.ess_t.astype(np.float64))
    regular = np.isfinite(log_ratio)
    ratio = np.exp(log_ratio[regular])
    divergent = trace.tv > DIVERGENT_TV
    finite = np.isfinite(trace.kl_theta) & np.isfinite(trace.kl_t)
    kl_theta, kl_t = trace.kl_theta[finite].astype(np.float64), trace.kl_t[finite].astype(np.float64)
    return MixSummary(
        tokens=len(trace),
        alpha_mean=float(trace.alpha.mean(dtype=np.float64)),
        alpha_std=float(trace.alpha.std(dtype=np.float64)),
        kl_theta_mean=_mean(kl_theta),
        kl_t_mean=_mean(kl_t),
        kl_abs_difference_mean=_mean(np.abs(kl_theta - kl_t)),
        ess_ratio_mean=_mean(ratio),
        ess_ratio_std=float(ratio.std()) if ratio.size else None,
        ess_ratio_geometric_mean=float(np.exp(log_ratio[regular].mean())) if ratio.size else None,
        entropy_theta_mean=float(trace.entropy_theta.mean(dtype=np.float64)),
        entropy_t_mean=float(trace.entropy_t.mean(dtype=np.float64)),
        divergent_tokens=int(divergent.sum()),
        divergent_ess_ratio_mean=_mean(np.exp(log_ratio[regular & divergent])),
        log_z_sum=float(trace.log_z.sum(dtype=np.float64)),
        logp_theta_sum=_sum(trace.logp_theta),
        logp_t_sum=_sum(trace.logp_t),
        logq_sum=float(trace.logq.sum(dtype=np.float64)),
        boundary_tokens=int((~regular | ~finite).sum()),
        clamped_tokens=int((trace.status == AlphaStatus.CLAMPED).sum()),
        unconverged_tokens=int((trace.status == AlphaStatus.NOT_CONVERGED).sum()),
        policy_tokens=int((trace.status == AlphaStatus.POLICY).sum()),
    )


def _sum(logp: np.ndarray) -> float | None:
    total = float(logp.sum(dtype=np.float64))
    return total if np.isfinite(total) else None


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None
