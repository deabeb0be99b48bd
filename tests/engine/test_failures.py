"""A model that gives no distribution fails the sample it spoils, by name, and no other."""

import copy

import pytest
import torch

from qstar_core.records import FinishReason
from tests.engine.models import ASSISTANT, END, USER, Duo, by_id, jobs, loaded, pair_of_prompts, prompts

POISON = 39


def poisoned(model):
    """The same weights, but one token cannot be read: an embedding of NaN."""
    network = copy.deepcopy(model.network)
    with torch.no_grad():
        network.model.embed_tokens.weight[POISON] = float("nan")
    return loaded(model.name, network)


def spoiled(model):
    network = copy.deepcopy(model.network)
    with torch.no_grad():
        network.lm_head.weight[3] = float("nan")
    return loaded(model.name, network)


def with_side(duo: Duo, side: str, change) -> Duo:
    sides = {"student": duo.student, "teacher": duo.teacher}
    sides[side] = change(sides[side])
    return Duo(**sides, tokenizer=duo.tokenizer, vocab=duo.vocab)


@pytest.mark.parametrize("side", ["student", "teacher"])
def test_nan_weights_fail_every_sample_and_name_the_side_and_the_token(forty: Duo, side):
    found = by_id(with_side(forty, side, spoiled).engine(slots=2).generate(jobs(prompts(3, 40))))
    assert len(found) == 3
    for one in found.values():
        assert one.sample.finish_reason is FinishReason.ERROR
        assert one.sample.error.startswith(f"the {side}'s logits")
        assert one.sample.error.endswith("at token 0")
        assert one.sample.summary is one.trace is None
        assert "nan" not in one.sample.model_dump_json(exclude={"error"}).lower()


@pytest.mark.parametrize("method", ["kl_symmetry", "entropy", "fixed"])
def test_both_sides_are_named_where_both_fail(forty: Duo, method):
    broken = with_side(with_side(forty, "student", spoiled), "teacher", spoiled)
    one = next(broken.engine(method=method).generate(jobs(prompts(1, 40))))
    assert "the student's and the teacher's logits" in one.sample.error


@pytest.mark.parametrize("side", ["student", "teacher"])
@pytest.mark.parametrize("slots", [1, 2, 4])
def test_a_failed_sample_leaves_its_slot_clean(forty: Duo, side, slots):
    """The next sample in the slot is shorter than what failed there: nothing of it may be read."""
    long = [USER, *[POISON] * 20, END, ASSISTANT]
    good = [pair for pair in prompts(8, 40, seed=3) if POISON not in (*pair.student_ids, *pair.teacher_ids)][:4]
    bad = pair_of_prompts("bad", long, long)
    engine = with_side(forty, side, poisoned).engine(slots, seed=5)
    expected = {}
    for job in jobs(good, 2):  # each in an engine that never saw the bad prompt
        expected |= by_id(with_side(forty, side, poisoned).engine(slots, seed=5).generate([job]))
    work = [*jobs([bad], 3), *jobs(good[:2], 2), *jobs([bad.model_copy(update={"prompt_id": "bad-2"})], 2),
            *jobs(good[2:], 2)]
    for _ in range(2):  # and once more in the same engine
        found = by_id(engine.generate(work))
        assert len(found) == len(work)
        for name, one in expected.items():
            assert found[name].sample == one.sample
    assert all(one.sample.error for name, one in found.items() if name.startswith("bad"))


@pytest.mark.parametrize("side", ["student", "teacher"])
def test_a_sample_that_fails_on_its_way_names_the_token_and_spoils_no_sibling(forty: Duo, side):
    """Whoever draws the unreadable token fails at the token after it; the other draws of the prompt do not."""
    pair = next(p for p in prompts(20, 40, seed=1) if POISON not in (*p.student_ids, *p.teacher_ids))
    work = jobs([pair], 150)
    whole = by_id(forty.engine(slots=4).generate(work))
    found = by_id(with_side(forty, side, poisoned).engine(slots=4).generate(work))
    failed = 0
    for name, one in whole.items():
        tokens, sample = one.sample.token_ids, found[name].sample
        if POISON in tokens[:-1]:
            at = tokens.index(POISON) + 1
            assert sample.finish_reason is FinishReason.ERROR
            assert sample.error == f"the {side}'s logits are not a distribution (NaN, +inf or empty) at token {at}"
            assert sample.token_ids == tokens[:at]
            failed += 1
        else:
            assert sample == one.sample
    assert 3 <= failed <= 140


def test_models_without_a_token_in_common_fail_the_sample(forty: Duo):
    """Nothing is possible for both where each forbids the other's half."""
    class Half(torch.nn.Module):
        def __init__(self, head, keep):
            super().__init__()
            self.head, self.keep = head, keep

        def forward(self, hidden):
            return self.head(hidden).masked_fill(~self.keep, float("-inf"))

    lower = torch.arange(40) < 20
    sides = {}
    for side, keep in (("student", lower), ("teacher", ~lower)):
        network = copy.deepcopy(getattr(forty, side).network)
        network.lm_head = Half(network.lm_head, keep)
        sides[side] = loaded(side, network)
    one = next(Duo(**sides, tokenizer=forty.tokenizer, vocab=40).engine().generate(jobs(prompts(1, 40))))
    assert one.sample.finish_reason is FinishReason.ERROR
    assert one.sample.error == "student and teacher have no token in common at token 0"
