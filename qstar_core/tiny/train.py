"""Training of one tiny Llama by its recipe.

Contract: on one thread the weights are a function of recipe, tokenizer and machine, bit for bit; the caller sets the
number of threads. The loss covers the completion and its end token, never the prompt. The global random state is
left as found.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from qstar_core.errors import ModelError
from qstar_core.tiny.problems import DIFFICULTIES, Style, draw
from qstar_core.tiny.recipe import STYLE_MIX, Recipe, teacher_question
from qstar_core.tiny.tokenizer import END, MAX_LENGTH

IGNORED = -100
WARM_UP = 0.05
# Muon moves every direction of a matrix by the same length, so it takes a larger rate than AdamW.
MUON_FACTOR = 5.0
CLIP = 1.0

OnStep = Callable[[int, int, float], None]


def train(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, on_step: OnStep | None = None) -> LlamaForCausalLM:
    """Train from scratch; `on_step` hears (step, steps, loss) after every step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = new_model(recipe, tokenizer)
    model.train()
    optimisers = _optimisers(model, recipe.learning_rate)
    schedules = [torch.optim.lr_scheduler.LambdaLR(each, lambda step: _rate(step, recipe.steps)) for each in optimisers]
    rng = random.Random(recipe.seed)
    for step in range(1, recipe.steps + 1):
        ids_B_T, target_B_T = _batch(recipe, tokenizer, rng)
        # Padding stands on the right and attention is causal: no completion token can see it, so no mask is needed.
        logits_B_T_V = model(input_ids=ids_B_T).logits
        loss = F.cross_entropy(logits_B_T_V[:, :-1].flatten(0, 1), target_B_T[:, 1:].flatten(), ignore_index=IGNORED)
        value = loss.item()
        if not math.isfinite(value):
            raise ModelError(f"the loss of the tiny model is {value} at step {step}",
                             "lower the recipe's learning rate")
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        for optimiser, schedule in zip(optimisers, schedules, strict=True):
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
        if on_step:
            on_step(step, recipe.steps, value)
    return model.eval()


def new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """An untrained model whose configuration and generation settings agree with the tokenizer."""
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=recipe.hidden_size, num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads, num_key_value_heads=recipe.heads, intermediate_size=recipe.feed_forward,
        max_position_embeddings=MAX_LENGTH, tie_word_embeddings=True, initializer_range=0.05, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    ))
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def _optimisers(model: LlamaForCausalLM, rate: float) -> list[torch.optim.Optimizer]:
    matrices: list[Tensor] = []
    rest: list[Tensor] = []
    for name, weight in model.named_parameters():
        (matrices if weight.ndim == 2 and "embed" not in name else rest).append(weight)
    return [torch.optim.Muon(matrices, lr=rate * MUON_FACTOR, weight_decay=0.01, momentum=0.95),
            torch.optim.AdamW(rest, lr=rate, weight_decay=0.0, betas=(0.9, 0.98))]


def _rate(step: int, steps: int) -> float:
    """Linear warm-up, then linear to zero."""
    return min(1.0, (step + 1) / max(1, int(WARM_UP * steps))) * (1 - step / steps)


def _batch(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> tuple[Tensor, Tensor]:
    """Ids of prompt and completion, padded on the right; the targets are the completion's ids, IGNORED elsewhere."""
    asked, written = zip(*(_example(recipe, rng) for _ in range(recipe.batch)), strict=True)
    chats = [[{"role": "user", "content": question}] for question in asked]
    prompts = tokenizer(tokenizer.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)).input_ids
    completions = tokenizer([f"{text} {END}" for text in written]).input_ids
    width = max(len(p) + len(c) for p, c in zip(prompts, completions, strict=True))
    ids_B_T = torch.full((recipe.batch, width), tokenizer.pad_token_id)
    target_B_T = torch.full((recipe.batch, width), IGNORED)
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        begin, end = len(prompt), len(prompt) + len(completion)
        ids_B_T[row, :end] = torch.tensor(prompt + completion)
        target_B_T[row, begin:end] = ids_B_T[row, begin:end]
    return ids_B_T, target_B_T


def _example(recipe: Recipe, rng: random.Random) -> tuple[str, str]:
    """A question as this model will be asked it, and the completion to learn."""
    if rng.random() < recipe.sort_share:
        made = draw(rng, "sort", rng.choice(DIFFICULTIES["sort"]))
    else:
        made = draw(rng, "story", rng.choices(DIFFICULTIES["story"], recipe.step_weights)[0])
    if rng.random() >= recipe.hinted:
        return made.question, made.solution()
    asked = rng.choice(list(Style))
    written = rng.choices(list(STYLE_MIX[asked]), list(STYLE_MIX[asked].values()))[0]
    return teacher_question(made.question, made.reference, asked), made.solution(written)
