"""Suites: disjoint from what rounds took and from the final problems, and one hash for one set of numbers."""

from __future__ import annotations

import json

import pytest

from qstar_core.config import SetRole, Settings
from qstar_core.configload import load_settings, validated
from qstar_core.errors import ConfigError, DataError
from qstar_core.evaluation.rotation import conversation
from qstar_core.evaluation.suite import final_suite, rotating_suite
from qstar_core.sources.splitting import is_validation
from qstar_core.stages.ingest import ingest
from qstar_core.stages.workspace import Workspace
from qstar_core.store.opening import open_store

SOURCE = {"path": "builtin:problems", "seed": 9, "limit": 700}


def settings(**flags) -> Settings:
    return load_settings(flags={"round.prompts": 60, "evaluation.sets": [
        {"name": "stories", "role": "target", "kinds": ["story"], "where": {"difficulty": [3, 4]}, "prompts": 40,
         "source": SOURCE},
        {"name": "sorting", "kinds": ["sort"], "prompts": 30, "source": SOURCE}], **flags})


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def questions(tmp_path):
    """A file of 60 stories, 40 % held out."""
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(json.dumps({"question": f"what is {i} + 1 ?", "answer": str(i + 1)}) for i in range(300)))
    return {"source.path": str(path), "source.validation": 0.4,
            "evaluation.sets": [{"name": "target", "role": "target", "prompts": 20}]}


def asked(suite):
    return {prompt.id for one in suite.sets for prompt in one.prompts}


def test_kinds_and_meta_choose_the_problems(store):
    suite = rotating_suite(settings(), store, "default", "1")
    stories, sorting = suite.sets
    assert {p.kind for p in stories.prompts} == {"story"} and len(stories.prompts) == 40
    assert {p.meta["difficulty"] for p in stories.prompts} == {3, 4}
    assert (sorting.role, len(sorting.prompts)) == (SetRole.GUARD, 30)


def test_the_final_suite_shares_no_problem_with_any_round(store):
    wanted = settings()
    final = final_suite(wanted, store)
    assert final.final and final.hash == final_suite(wanted, store).hash
    for turn in range(12):
        rotating = rotating_suite(wanted, store, "default", str(turn))
        assert not rotating.final and not asked(rotating) & asked(final)


def test_what_a_round_took_is_never_asked(store, questions):
    wanted = settings(**questions)
    before = rotating_suite(wanted, store, "default", "1")
    pool = [p for p in _all(wanted) if is_validation(p, 0.4)]
    assert asked(before) <= {p.id for p in pool}, "nothing that rounds may take"
    greedy = validated({**wanted.model_dump(), "source": {**wanted.source.model_dump(), "validation": 0.0}})
    ingest(Workspace(greedy.model_copy(update={"round": greedy.round.model_copy(update={"prompts": 150})}), store), "1")
    taken = {conversation(p) for p in _all(wanted)[:150]}
    after = rotating_suite(wanted, store, "default", "1")
    assert after.sets[0].trained > 20
    assert not {conversation(p) for p in after.sets[0].prompts} & taken
    assert after.hash != before.hash


def _all(wanted):
    from qstar_core.sources.reading import read_source

    return [read.prompt for read in read_source(wanted.source)]


def test_a_built_in_source_is_read_under_another_seed(store):
    sets = [{"name": "target", "role": "target", "prompts": 30}]
    suite = rotating_suite(settings(**{"evaluation.sets": sets}), store, "default", "1")
    assert len(suite.sets[0].prompts) == 30
    assert not asked(suite) & {prompt.id for prompt in _all(settings())}


def test_the_hash_covers_problems_and_everything_that_decides_the_numbers(store):
    base = rotating_suite(settings(), store, "default", "1").hash
    assert base == rotating_suite(settings(), store, "default", "1").hash
    assert base != rotating_suite(settings(), store, "default", "2").hash
    assert base != rotating_suite(settings(), store, "other", "1").hash
    for name, value in {"evaluation.max_tokens": 32, "evaluation.seed": 1, "evaluation.temperature": 0.7,
                        "prompts.student": "Q: {{ question }}", "sampling.stop": ["x"],
                        "gate.hedging_words": ["er"], "evaluation.draws": 8}.items():
        assert base != rotating_suite(settings(**{name: value}), store, "default", "1").hash, name
    for name, value in {"engine.batch_size": 4, "alpha.fixed": 0.3, "promotion.level": 0.01}.items():
        assert base == rotating_suite(settings(**{name: value}), store, "default", "1").hash, name


def test_nothing_held_out_is_said_with_the_fix(store, questions):
    with pytest.raises(ConfigError, match=r"set source\.validation"):
        rotating_suite(settings(**{**questions, "source.validation": 0.0}), store, "default", "1")
    with pytest.raises(DataError, match="the set empty has no held-out problem"):
        rotating_suite(settings(**{"evaluation.sets": [{"name": "empty", "role": "target", "kinds": ["chess"]}]}),
                       store, "default", "1")
    with pytest.raises(ConfigError, match="round"):
        rotating_suite(settings(), store, "default", "../x")


@pytest.mark.parametrize(("flags", "message"), [
    ({"evaluation.sets": [{"name": "a"}]}, "exactly one"),
    ({"evaluation.sets": [{"name": "a", "role": "target"}, {"name": "a"}]}, "one name"),
    ({"evaluation.pass_at": [8]}, "above evaluation.draws"),
    ({"evaluation.verifier": {"name": "length"}}, "does not verify"),
    ({"evaluation.judge.base_url": "http://x"}, "belong together"),
])
def test_settings_that_contradict_themselves(flags, message):
    with pytest.raises(ConfigError, match=message):
        load_settings(flags=flags)
