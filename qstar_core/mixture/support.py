"""Support limits: what is cut from a model's distribution before α is solved.

Every limit is a set of tokens of one distribution, the model after temperature, and what stays is in all of the sets:
- top-k: the k most likely tokens;
- top-p: the smallest set of most likely tokens whose mass reaches p, the token that crosses included;
- min-p: every token at least `min_p` times as likely as the most likely one.
Among equally likely tokens the smaller id ranks first. The most likely token is in every set, so a row never empties.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from qstar_core.config import SupportSettings

Role = Literal["student", "teacher"]

_NOWHERE = float("-inf")
_FIRST_RANKS = 512


class SupportCut:
    """Tempered logits of one of the models in, the same with −inf outside of the limits out."""

    def __init__(self, settings: SupportSettings) -> None:
        self._settings = settings
        self.cuts = settings.top_k is not None or settings.top_p < 1.0 or settings.min_p > 0.0

    def __call__(self, logits_B_V: Tensor, who: Role) -> Tensor:
        if not self.cuts or self._settings.apply_to not in ("both", who):
            return logits_B_V
        return self._cut(logits_B_V)

    def _cut(self, logits_B_V: Tensor) -> Tensor:
        """Rows that are no distribution lose every token, and are found out later."""
        settings = self._settings
        logp = torch.log_softmax(logits_B_V, dim=-1)
        keep = logp > _NOWHERE
        if settings.min_p > 0.0:
            keep &= logp >= logp.amax(-1, keepdim=True) + math.log(settings.min_p)
        if settings.top_k is not None or settings.top_p < 1.0:
            keep &= _most_likely(logp, settings.top_k, settings.top_p)
        return logits_B_V.masked_fill(~keep, _NOWHERE)


def _most_likely(logp_B_V: Tensor, top_k: int | None, top_p: float) -> Tensor:
    """The ranks that both limits keep, as a mask over tokens. Only as many are ranked as it takes to reach the mass."""
    most = logp_B_V.shape[-1] if top_k is None else min(top_k, logp_B_V.shape[-1])
    ranks = most if top_p == 1.0 else min(_FIRST_RANKS, most)
    while True:
        ranked = logp_B_V.topk(ranks, dim=-1).values
        reached = ranked.double().exp().cumsum(-1)
        if ranks == most or bool((reached[:, -1] >= top_p).all()):
            break
        ranks = min(8 * ranks, most)
    keep = ranked > _NOWHERE
    if top_p < 1.0:
        keep[:, 1:] &= reached[:, :-1] < top_p
    return _down_to(logp_B_V, ranked, keep)


def _down_to(logp_B_V: Tensor, ranked: Tensor, keep: Tensor) -> Tensor:
    """The tokens whose ranks are kept: all above the last one, and of those that equal it the smallest ids."""
    last_B = ranked.gather(1, (keep.sum(-1, keepdim=True) - 1).clamp_min(0)).masked_fill(~keep[:, :1], float("inf"))
    room_B = (keep & (ranked == last_B)).sum(-1, keepdim=True)
    equal = logp_B_V == last_B
    if bool((equal.sum(-1, keepdim=True) > room_B).any()):
        equal &= equal.cumsum(-1) <= room_B
    return (logp_B_V > last_B) | equal
