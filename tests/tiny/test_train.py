"""Training: what is learnt from, what is refused, what is left alone."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch

from qstar_core.errors import ModelError
from qstar_core.tiny.recipe import PAIR, PairRecipe
from qstar_core.tiny.tokenizer import MAX_LENGTH, build_tokenizer
from qstar_core.tiny.train import IGNORED, _batch, new_model, train


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_only_the_completion_and_its_end_are_learnt() -> None:
    tokenizer = build_tokenizer()
    ids_B_T, target_B_T = _batch(PAIR.teacher, tokenizer, random.Random(0))
    assert len(ids_B_T) == PAIR.teacher.batch
    for ids, target in zip(ids_B_T, target_B_T, strict=True):
        learnt = target[target != IGNORED]
        text = tokenizer.decode(ids).split("<|assistant|> ")
        assert tokenizer.decode(learnt) == text[1].replace(" <pad>", "")
        assert learnt[-1] == tokenizer.eos_token_id and (learnt == tokenizer.eos_token_id).sum() == 1


def test_the_student_never_reads_a_reference() -> None:
    tokenizer = build_tokenizer()
    rng = random.Random(0)
    mark = tokenizer.convert_tokens_to_ids("ref")
    assert all(not (_batch(PAIR.student, tokenizer, rng)[0] == mark).any() for _ in range(20))
    assert (_batch(PAIR.teacher, tokenizer, rng)[0] == mark).any()


def test_the_loss_falls_and_the_random_state_is_left_alone(short: PairRecipe) -> None:
    before = torch.get_rng_state()
    heard: list[tuple[int, int, float]] = []
    recipe = short.teacher.model_copy(update={"steps": 60, "batch": 16, "learning_rate": 1e-2})
    train(recipe, build_tokenizer(), lambda *now: heard.append(now))
    assert [step for step, *_ in heard] == list(range(1, 61)) and {steps for _, steps, _ in heard} == {60}
    assert heard[-1][2] < 0.7 * heard[0][2]
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loss_that_is_no_number_is_an_error(short: PairRecipe) -> None:
    with pytest.raises(ModelError, match=r"the loss of the tiny model is (nan|inf) at step"):
        train(short.student.model_copy(update={"learning_rate": 1e30}), build_tokenizer())


def test_the_configuration_agrees_with_the_tokenizer() -> None:
    tokenizer = build_tokenizer()
    for recipe in (PAIR.student, PAIR.teacher):
        model = new_model(recipe, tokenizer)
        for settings in (model.config, model.generation_config):
            assert settings.eos_token_id == tokenizer.eos_token_id
            assert settings.pad_token_id == tokenizer.pad_token_id
        assert model.config.vocab_size == len(tokenizer)
        assert model.config.max_position_embeddings == MAX_LENGTH >= 160
