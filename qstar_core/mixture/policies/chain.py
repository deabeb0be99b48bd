"""The configured policies in order, and what they make of a solution. A new policy is one file and one line in
POLICIES.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from qstar_core.config import AlphaSettings
from qstar_core.errors import ConfigError
from qstar_core.mixture.alpha import AlphaSolution, solution_at
from qstar_core.mixture.geometric import Pair
from qstar_core.mixture.method import AlphaMethod, AlphaStatus
from qstar_core.mixture.policies.base import Policy, Situation
from qstar_core.mixture.policies.by_disagreement import ByDisagreement
from qstar_core.mixture.policies.by_position import ByPosition
from qstar_core.mixture.policies.constant import Constant
from qstar_core.mixture.policies.teacher import TeacherFirstToken, TeacherSpecialTokens

POLICIES: dict[str, Any] = {policy.name: policy for policy in (Constant, ByPosition, ByDisagreement)}


def policies_of(settings: AlphaSettings, special_ids: frozenset[int]) -> tuple[Policy, ...]:
    """In order; the last one that chooses wins. Empty where nothing but the method decides."""
    named = _build(settings)
    chain: list[Policy] = [] if isinstance(named, Constant) else [named]
    if settings.teacher_first_token:
        chain.append(TeacherFirstToken())
    if settings.teacher_special_tokens:
        chain.append(TeacherSpecialTokens(special_ids))
    return tuple(chain)


def decided(policies: Sequence[Policy], pair: Pair, position_B: Tensor, solution: AlphaSolution,
            method: AlphaMethod) -> AlphaSolution:
    """The solution after every policy had its say."""
    alpha_B, status_B = solution.alpha_B, solution.status_B
    pure_B = torch.zeros_like(pair.any_common_B) if solution.pure_B is None else solution.pure_B
    for policy in policies:
        decision = policy.decide(Situation(pair, position_B, alpha_B))
        if decision is not None:
            alpha_B = torch.where(decision.chosen_B, decision.alpha_B, alpha_B)
            pure_B = torch.where(decision.chosen_B, decision.pure_B, pure_B)
            status_B = status_B.masked_fill(decision.chosen_B, AlphaStatus.POLICY)
    unmixed_B = ~pair.any_common_B & ~(pure_B & ((alpha_B == 0.0) | (alpha_B == 1.0)))
    status_B = status_B.masked_fill(unmixed_B, AlphaStatus.NO_COMMON_SUPPORT)
    return solution_at(pair, method, alpha_B, status_B, pure_B, solution.known)


def _build(settings: AlphaSettings) -> Policy:
    name = settings.policy.name
    if name not in POLICIES:
        raise ConfigError(f"alpha.policy.name = {name!r} is unknown", f"use one of {', '.join(POLICIES)}")
    kind = POLICIES[name]
    try:
        built: Policy = kind(kind.options.model_validate(settings.policy.options))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"alpha.policy.options.{key} = {first['input']!r} is wrong", str(first["msg"])) from None
    return built
