"""How noisy a round's gradient is at its start: tr Var(g) / ‖E g‖² over micro-batches of 32 rows.

g is the gradient of the training loss at the student as it stands: for SFT the mean negative log-likelihood of the
completions' tokens; for DPO, whose reference is the student itself there, Σ over pairs of −(log π(chosen) −
log π(rejected)), up to a factor; for policy gradients −A·log π of samples that the student draws, with the recipe's
advantage A and without its KL and clipping, which do not act at the start. Both moments are estimated from K batches,
tr Var(g) without bias and ‖E g‖² by the mean's, so pure noise gives about K.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qstar_core.config import Settings
from qstar_core.experiments.rows import Text
from qstar_core.records import ModelRef
from qstar_core.training.hardware import hardware_for
from qstar_core.training.students import load_network

ROWS = 32
_IGNORED = -100


def gradient_variance(settings: Settings, student: ModelRef, texts: Sequence[Text], batches: int,
                      by_tokens: bool) -> float | None:
    """Of as many whole batches as there are, at most `batches`; None with fewer than two, and where the gradient is 0.
    `by_tokens`: a batch's loss is the mean over its tokens, else over its rows."""
    from transformers import AutoTokenizer

    count = min(batches, len(texts) // ROWS)
    if count < 2 or settings.training is None:
        return None
    tokenizer = AutoTokenizer.from_pretrained(student.path, trust_remote_code=False)
    device = hardware_for(settings.training).device
    network = load_network(student.name, Path(student.path), torch.float32)
    if student.adapter is not None:
        from qstar_core.engine.adapter import merged

        network = merged(network, Path(student.adapter.path)).requires_grad_(True)
    network.to(device).train()
    gradients = torch.stack([
        _gradient(network, tokenizer, settings, texts[start : start + ROWS], by_tokens)
        for start in range(0, count * ROWS, ROWS)])
    mean = gradients.mean(0)
    scale = float(mean.square().sum())
    return float((gradients - mean).square().sum()) / (count - 1) / scale if scale > 0 else None


def _gradient(network: Any, tokenizer: Any, settings: Settings, texts: Sequence[Text], by_tokens: bool) -> Tensor:
    rows = [_tokens(tokenizer, settings, one) for one in texts]
    width = max(len(ids) for ids, _ in rows)
    ids_B_T = torch.zeros(len(rows), width, dtype=torch.long)
    label_B_T = torch.full((len(rows), width), _IGNORED)
    for row, (ids, start) in enumerate(rows):
        ids_B_T[row, : len(ids)] = torch.tensor(ids)
        label_B_T[row, start : len(ids)] = ids_B_T[row, start : len(ids)]
    ids_B_T, label_B_T = ids_B_T.to(network.device), label_B_T.to(network.device)
    weight_B = torch.tensor([one.weight for one in texts], device=network.device)
    # padding stands on the right, where causal attention does not look
    logits_B_T_V = network(input_ids=ids_B_T, use_cache=False).logits[:, :-1].float()
    nll_B_T = torch.nn.functional.cross_entropy(logits_B_T_V.transpose(1, 2), label_B_T[:, 1:], ignore_index=_IGNORED,
                                                reduction="none")
    share = (label_B_T[:, 1:] != _IGNORED).sum() if by_tokens else len(texts)
    network.zero_grad()
    torch.autograd.backward((nll_B_T.sum(1) * weight_B).sum() / share)
    return torch.cat([weight.grad.flatten() for weight in network.parameters() if weight.grad is not None])


def _tokens(tokenizer: Any, settings: Settings, text: Text) -> tuple[list[int], int]:
    """Ids, and where the completion begins, as the trainers tokenise it."""
    asked = [message.model_dump(mode="json") for message in text.asked]
    whole = [*asked, {"role": "assistant", "content": text.completion}]
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=True, return_dict=False)
    ids = tokenizer.apply_chat_template(whole, tokenize=True, return_dict=False)
    longest = settings.training.max_length if settings.training is not None else len(ids)
    return ids[:longest], min(len(prompt), longest)
