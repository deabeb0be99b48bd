"""Two rules that can be switched on beside any policy, and that win over it: the teacher alone decides the first token,
or wherever the token that it finds most likely is a control token, such as the end of the turn.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qstar_core.mixture.policies.base import Decision, Situation, follow


class TeacherFirstToken:
    def decide(self, at: Situation) -> Decision | None:
        return follow(at, at.position_B == 0, 1.0)


class TeacherSpecialTokens:
    def __init__(self, special_ids: frozenset[int]) -> None:
        self._ids = torch.tensor(sorted(special_ids), dtype=torch.long)

    def decide(self, at: Situation) -> Decision | None:
        likely_B: Tensor = at.pair.t_B_V.argmax(-1)
        return follow(at, torch.isin(likely_B, self._ids.to(likely_B.device)), 1.0)
