"""Two losses of ours on TRL's SFTTrainer: cross-entropy with a weight a token, and cross-entropy to the likeliest
tokens of q*. Everything else is the trainer's.

Targets stand at the position of the token that they are about, as labels do.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from qstar_core.errors import DataError
from qstar_core.recipes import LogitDistillation, Training, WeightedSft
from qstar_core.training.trainers.base import Parts
from qstar_core.training.weights import Weights, importance_weights

IGNORED = -100


def weighted_nll(logits_B_T_V: Tensor, labels_B_T: Tensor, weight_B_T: Tensor) -> Tensor:
    """The sum over the completions' tokens."""
    loss_N = torch.nn.functional.cross_entropy(logits_B_T_V[:, :-1].flatten(0, 1).float(),
                                               labels_B_T[:, 1:].flatten(), ignore_index=IGNORED, reduction="none")
    return (loss_N * weight_B_T[:, 1:].flatten()).sum()


def topk_cross_entropy(logits_B_T_V: Tensor, labels_B_T: Tensor, token_B_T_K: Tensor, logq_B_T_K: Tensor,
                       tail: bool) -> Tensor:
    """−Σ_k q_k log π_k, summed over the completions' tokens. With `tail` the rest of both, where there is one, is one
    token more; without, q is renormalised on its k tokens."""
    logp_B_T_V = logits_B_T_V[:, :-1].float().log_softmax(-1)
    token, logq = token_B_T_K[:, 1:], logq_B_T_K[:, 1:]
    logp = logp_B_T_V.gather(-1, token)
    q = logq.exp()
    if tail and token.shape[-1] < logp_B_T_V.shape[-1]:
        rest_q = (1 - q.sum(-1)).clamp(min=0)
        others = logp_B_T_V.scatter(-1, token, float("-inf"))
        rest = others.logsumexp(-1)
        loss = -(q * logp).sum(-1) - torch.where(rest_q > 0, rest_q * rest, 0)
    else:
        loss = -(q * logp).sum(-1) / q.sum(-1)
    return torch.where(labels_B_T[:, 1:] != IGNORED, loss, 0).sum()


def collate(rows: list[dict[str, Any]], pad: int) -> dict[str, Tensor]:
    """Padded on the right; what is no label is 0 there."""
    width = max(len(row["input_ids"]) for row in rows)
    fill = {"input_ids": pad, "labels": IGNORED}
    batch: dict[str, Tensor] = {"attention_mask": torch.zeros(len(rows), width, dtype=torch.long)}
    for name in rows[0]:
        first = torch.as_tensor(rows[0][name])
        batch[name] = torch.full((len(rows), width, *first.shape[1:]), fill.get(name, 0), dtype=first.dtype)
    for index, row in enumerate(rows):
        batch["attention_mask"][index, :len(row["input_ids"])] = 1
        for name, values in row.items():
            batch[name][index, :len(values)] = torch.as_tensor(values)
    return batch


def weighted_sft(parts: Parts[WeightedSft]) -> Any:
    recipe, rows = parts.recipe, parts.rows
    weights = importance_weights(rows.train["log_weight"], recipe.level, recipe.max_weight)
    if weights.ess < recipe.min_ess:
        raise DataError(f"the importance weights are worth {weights.ess:.1f} completions, fewer than min_ess "
                        f"({recipe.min_ess:g})", "sample from this student anew, or raise training.max_weight")

    def loss(logits: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        return weighted_nll(logits, inputs["labels"], inputs["weight"])

    found = {"train_dataset": _with_weights(rows.train, weights), "eval_dataset": None}
    if rows.validation is not None:
        # by themselves: normalised on the rows they are compared on
        found["eval_dataset"] = _with_weights(rows.validation, importance_weights(
            rows.validation["log_weight"], recipe.level, recipe.max_weight))
    return _trainer(parts, found, loss, weights.metrics)


def logit_distillation(parts: Parts[LogitDistillation]) -> Any:
    tail = parts.recipe.tail

    def loss(logits: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        return topk_cross_entropy(logits, inputs["labels"], inputs["top_token"], inputs["top_logq"], tail)

    rows = parts.rows
    found = {name: None if table is None else table.map(_with_top, remove_columns=["prompt_length", "log_weight"])
             for name, table in (("train_dataset", rows.train), ("eval_dataset", rows.validation))}
    return _trainer(parts, found, loss, {})


def _with_weights(table: Any, weights: Weights) -> Any:
    def add(row: dict[str, Any], index: int) -> dict[str, Any]:
        return {"weight": [0.0] * row["prompt_length"] + weights.tokens[index].tolist()}

    return table.map(add, with_indices=True, remove_columns=["prompt_length", "log_weight"])


def _with_top(row: dict[str, Any]) -> dict[str, Any]:
    """The prompt's tokens get targets that the labels leave out of the loss."""
    wide = len(row["top_token"][0])
    before = row["prompt_length"]
    return {"top_token": [[0] * wide] * before + row["top_token"],
            "top_logq": [[0.0] * wide] * before + row["top_logq"]}


def _trainer(parts: Parts[Training], data: dict[str, Any], loss: Any, metrics: dict[str, float]) -> Any:
    from trl import SFTConfig, SFTTrainer

    class TokenTrainer(SFTTrainer):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False,
                         num_items_in_batch: Any = None) -> Any:
            outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
            tokens = (inputs["labels"] != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
            value = loss(outputs.logits, inputs) / torch.as_tensor(tokens).clamp(min=1)
            if self.args.average_tokens_across_devices and num_items_in_batch is not None:
                value = value * self.accelerator.num_processes
            return (value, outputs) if return_outputs else value

    config = SFTConfig(**parts.arguments(), remove_unused_columns=False, max_length=None,
                       dataset_kwargs={"skip_prepare_dataset": True})
    tokenizer = parts.student.tokenizer
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    trainer = TokenTrainer(args=config, data_collator=lambda rows: collate(rows, pad), **(parts.common() | data))
    trainer.first_metrics = metrics
    return trainer
