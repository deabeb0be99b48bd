"""How often a model is right, measured with the library's own `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from qstar_core.records import Prompt
from qstar_core.tiny.problems import Style
from qstar_core.tiny.recipe import teacher_question

BATCH = 150


def accuracy(folder: Path, prompts: Sequence[Prompt], *, hinted: bool, temperature: float) -> float:
    """The share of completions that end by themselves with the gold answer; temperature 0 is greedy."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    right = 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for begin in range(0, len(prompts), BATCH):
            part = prompts[begin:begin + BATCH]
            texts = [tokenizer.apply_chat_template(
                [{"role": "user", "content": _asked(prompt, hinted)}], tokenize=False, add_generation_prompt=True)
                for prompt in part]
            batch = tokenizer(texts, return_tensors="pt", padding=True)
            ids = model.generate(input_ids=batch.input_ids, attention_mask=batch.attention_mask,
                                 max_new_tokens=48, **sampling)[:, batch.input_ids.shape[1]:]
            for prompt, row in zip(part, ids, strict=True):
                text = tokenizer.decode(row, skip_special_tokens=True)
                right += tokenizer.eos_token_id in row and text.rsplit("answer", 1)[-1].strip() == prompt.answer
    return right / len(prompts)


def _asked(prompt: Prompt, hinted: bool) -> str:
    return teacher_question(prompt.question, prompt.meta["reference"], Style.STEPS) if hinted else prompt.question
