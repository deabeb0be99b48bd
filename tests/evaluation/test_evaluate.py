"""The embedded student, measured for real; twice asked, once measured."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from qstar_core.answers import final_answer, same_answer
from qstar_core.config import SetRole
from qstar_core.errors import EngineError, IntegrityError
from qstar_core.evaluation.divergence import divergence
from qstar_core.evaluation.evaluate import evaluate
from qstar_core.evaluation.score import score_key
from qstar_core.evaluation.speaker import Speaker
from qstar_core.evaluation.suite import rotating_suite
from qstar_core.models import resolve
from qstar_core.store.opening import open_store
from tests.evaluation.conftest import changed
from tests.evaluation.small import settings

WANTED = settings(**{"evaluation.measures": ["accuracy", "pass_at_k", "perplexity", "rouge", "length", "hedging",
                                             "leaks"]})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return open_store(str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def suite(store):
    return rotating_suite(WANTED, store, "default", "1")


@pytest.fixture(scope="module")
def score(store, suite, tiny):
    return evaluate(WANTED, store, tiny, suite)


def test_every_measure_of_every_set(score, suite):
    names = {measure.name.partition("/")[2] for measure in score.measures}
    assert names == {"accuracy", "pass@1", "pass@2", "perplexity", "rouge@1", "rouge@2", "rouge@L", "length", "cut",
                     "hedging", "leaks"}
    assert {measure.name.partition("/")[0] for measure in score.measures} == {"stories", "sorting"}
    for measure in score.measures:
        assert measure.low <= measure.value <= measure.high
        assert measure.n == 60
    assert score.measure("stories/accuracy").value > 0.9
    assert 0.4 < score.measure("sorting/accuracy").value < 0.95
    assert score.measure("stories/pass@2").value >= score.measure("stories/pass@1").value
    assert 1 < score.measure("stories/perplexity").value < 1.6


def test_accuracy_is_what_the_replies_say(score, suite):
    for one, asked in zip(score.sets, suite.sets, strict=True):
        assert one.prompts == tuple(prompt.id for prompt in asked.prompts)
        right = [same_answer(final_answer(reply) or "", prompt.answer)
                 for reply, prompt in zip(one.replies, asked.prompts, strict=True)]
        assert score.measure(f"{one.name}/accuracy").value == pytest.approx(sum(right) / len(right))


def test_nothing_is_measured_twice(score, store, suite, tiny):
    """The second time the checkpoint need not even be there."""
    gone = tiny.model_copy(update={"path": "/nowhere", "name": "/nowhere"})
    assert evaluate(WANTED, store, gone, suite) == score


def test_a_damaged_score_is_not_believed(store, tiny):
    key = score_key(tiny.sha256, rotating_suite(WANTED, store, "other", "2").hash)
    store.write(key, b'{"model": "x"}')
    with pytest.raises(IntegrityError, match="not a Score record"):
        evaluate(WANTED, store, tiny, rotating_suite(WANTED, store, "other", "2"))


def test_weights_that_are_no_numbers_end_in_an_error_and_leave_no_score(store, suite, tiny, tmp_path):
    broken = resolve(str(changed(tiny, tmp_path / "nan", float("nan"))), None)
    with pytest.raises(EngineError, match="no reply to problem"):
        evaluate(WANTED, store, broken, suite)
    assert store.head(score_key(broken.sha256, suite.hash)) is None


def test_problems_that_the_model_cannot_take_are_counted(store, tiny):
    template = "{{ question }}{% if kind == 'sort' and '7' in question %} xylophone{% endif %}"
    asked = settings(**{"prompts.student": template})
    found = evaluate(asked, store, tiny, rotating_suite(asked, store, "default", "1"))
    (skipped,) = found.set_of("sorting").skipped.items()
    assert "cannot encode" in skipped[0] and skipped[1] > 5
    assert found.measure("sorting/accuracy").n == 60 - skipped[1]


def test_kl_is_that_of_the_whole_distributions(suite, tiny, damaged):
    prompts = suite.set_of(SetRole.TARGET).prompts[:6]
    found = divergence(WANTED, damaged, tiny, prompts)
    new, old = (AutoModelForCausalLM.from_pretrained(ref.path).eval() for ref in (tiny, damaged))
    speaker, total, tokens = Speaker(tiny, WANTED), 0.0, 0
    pairs = [speaker.render(prompt) for prompt in prompts]
    for pair, (sample,) in zip(pairs, speaker.reply(pairs, 1, 1.0), strict=True):
        ids = torch.tensor([[*pair.student_ids, *sample.token_ids]])
        with torch.no_grad():
            logp, logq = (model(ids).logits[0, len(pair.student_ids) - 1 : -1].log_softmax(-1) for model in (new, old))
        total += float((logp.exp() * (logp - logq)).sum())
        tokens += len(sample.token_ids)
    assert found.value == pytest.approx(total / tokens, rel=1e-3)
    assert found.value > 0.01
    assert divergence(WANTED, tiny, tiny, prompts).value == pytest.approx(0, abs=1e-6)
