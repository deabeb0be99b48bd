"""The tokenizer is one that any pipeline loads, and it knows every word of the problems."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from qstar_core.tiny.problems import DIFFICULTIES, Style, draw
from qstar_core.tiny.recipe import teacher_question
from qstar_core.tiny.tokenizer import MAX_LENGTH, build_tokenizer

SLOTS = [(kind, level) for kind, levels in DIFFICULTIES.items() for level in levels]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer().save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


@given(seed=st.integers(0, 10**6), slot=st.sampled_from(SLOTS), style=st.sampled_from(Style))
def test_texts_come_back_and_fit(
    tokenizer: PreTrainedTokenizerFast, seed: int, slot: tuple[str, int], style: Style
) -> None:
    made = draw(random.Random(seed), *slot)
    asked = teacher_question(made.question, made.reference, style)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": asked}], tokenize=False, add_generation_prompt=True)
    text = f"{prompt} {made.solution(style)} {tokenizer.eos_token}"
    ids = tokenizer(text).input_ids
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(tokenizer(made.solution(style)).input_ids) == made.solution(style)
    assert len(ids) <= MAX_LENGTH // 2


def test_the_chat_template_ends_with_the_assistant_mark(tokenizer: PreTrainedTokenizerFast) -> None:
    chat = [{"role": "system", "content": "how"}, {"role": "user", "content": "sort 2 1"},
            {"role": "assistant", "content": "answer 1 2"}, {"role": "user", "content": "sort 4 3"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    assert " ".join(tokenizer.convert_ids_to_tokens(ids)) == (
        "<|system|> how <|end|> <|user|> sort 2 1 <|end|> <|assistant|> answer 1 2 <|end|> "
        "<|user|> sort 4 3 <|end|> <|assistant|>")
    finished = tokenizer.apply_chat_template(chat, tokenize=False)
    assert finished.rstrip().endswith("<|end|>")


def test_special_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.eos_token == "<|end|>"
    assert len({tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id}) == 3
    assert tokenizer("zebra").input_ids == [tokenizer.unk_token_id]
    ids = tokenizer("<|assistant|> answer 7 <|end|> <pad>").input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "answer 7"
