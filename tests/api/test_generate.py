"""`generate` gives the samples of a round, one by one, can be left at any moment, and is refused in one line."""

import itertools
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qstar_core import Mixture, columns, generate, token_columns
from qstar_core.api import Progress
from qstar_core.engine.headroom import Headroom
from qstar_core.errors import ConfigError, DataError, EngineError, ModelError
from qstar_core.records import FinishReason, Message, Role
from qstar_core.stages import engines
from qstar_core.stages.engines import engine_for
from qstar_core.stages.generate import generate_shard
from qstar_core.stages.ingest import ingest
from qstar_core.stages.plan import load_plan
from qstar_core.stages.planning import plan_round
from qstar_core.stages.refine import finished_samples
from qstar_core.stages.workspace import Workspace
from qstar_core.store.directory import DirectoryStore

QUESTIONS = ["sort 16 10 14", "sort 5 3 9", "sort 7 7 2"]


def key(drawn):
    return drawn.index, drawn.draw


def drawn(*arguments, **named):
    return {key(one): one for one in generate(*arguments, **named)}


def same(one, other):
    return one.sample == other.sample


def test_the_samples_are_those_of_a_round(tiny: Mixture, tmp_path, monkeypatch):
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path / "home"))
    settings = tiny.settings.model_copy(update={
        "round": tiny.settings.round.model_copy(update={"prompts": 6, "shard_size": 5})})
    workspace = Workspace(settings, DirectoryStore(tmp_path / "store"))
    plan = load_plan(workspace.store, plan_round(workspace, ingest(workspace, "1"), tiny.models, run_id="r"))
    for shard in plan.shards:
        generate_shard(workspace, plan, shard.index, lambda: engine_for(settings, plan.models, plan.context))
    rounds, prompts = {}, []
    for _, planned, finished in finished_samples(workspace, plan, tmp_path):
        rounds[finished.sample.id] = finished
        if planned.prompt not in prompts:
            prompts.append(planned.prompt)
    ours = {one.sample.id: one for one in generate(tiny, prompts, traces=True)}
    assert ours.keys() == rounds.keys()
    for name, one in ours.items():
        assert one.sample == rounds[name].sample
        assert np.array_equal(one.trace.logq, rounds[name].trace.logq)


def test_n_draws_are_n_runs(tiny: Mixture):
    together = drawn(tiny, QUESTIONS, draws=5)
    assert len(together) == 15
    for draw in range(5):
        for place, one in drawn(tiny, QUESTIONS, draws=1, first_draw=draw).items():
            assert same(one, together[place])


def test_a_number_of_numpy_is_a_fixed_alpha(tiny: Mixture):
    mixture = Mixture(alpha=np.float32(0.25), sampling=tiny.settings.sampling, engine=tiny.settings.engine)
    assert mixture.settings.alpha.fixed == 0.25


def test_another_alpha_does_not_load_the_models_again(tiny: Mixture):
    """And has its own engine: both can be used in turn."""
    expected = drawn(tiny, QUESTIONS, draws=np.int64(2))
    loads = engines._loaded.cache_info().misses
    other = Mixture(alpha=0.0, sampling=tiny.settings.sampling, engine=tiny.settings.engine)
    for one in generate(other, QUESTIONS, draws=2, traces=True):
        assert one.trace.alpha.tolist() == [0.0] * len(one.token_ids)
    assert engines._loaded.cache_info().misses == loads
    assert all(same(one, expected[place]) for place, one in drawn(tiny, QUESTIONS, draws=2).items())


def test_a_prompt_that_comes_twice_gets_other_draws(tiny: Mixture):
    twice = list(generate(tiny, [QUESTIONS[0], QUESTIONS[0]], draws=2))
    assert sorted((one.index, one.draw) for one in twice) == [(0, 0), (0, 1), (1, 2), (1, 3)]
    assert len({one.sample.id for one in twice}) == 4


def test_every_form_of_a_prompt(tiny: Mixture):
    text = QUESTIONS[0]
    message = {"role": "user", "content": text}
    forms = [text, {"question": text}, [message], {"messages": [message]}, [Message(role=Role.USER, content=text)]]
    found = [next(generate(tiny, [form], draws=1)) for form in forms]
    pair = found[0].pair
    found += [next(generate(tiny, form, draws=1)) for form in
              (text, {"question": text}, found[0].prompt, pair, [pair])]
    assert len({one.completion for one in found}) == 1
    assert all(one.pair == pair for one in found)
    by_hand = tiny.pair(pair.student_text, pair.teacher_text)
    assert (by_hand.student_ids, by_hand.teacher_ids) == (pair.student_ids, pair.teacher_ids)


def test_the_teacher_alone_reads_the_privileged_context(tiny: Mixture):
    row = {"question": "sort 16 10 14", "answer": "10 14 16", "meta": {"reference": "10 14 16"}}
    one = next(generate(tiny, row, draws=1))
    assert "ref 10 14 16" in one.pair.teacher_text
    assert "ref" not in one.pair.student_text
    assert one.prompt.answer == "10 14 16"


def test_rows_that_differ_for_the_teacher_alone_do_not_share_their_prompts(tiny: Mixture):
    rows = [{"question": "sort 5 3 9", "meta": {"reference": reference}} for reference in ("3 5 9", "9 9 9")]
    together = list(generate(tiny, rows, draws=2))
    alone = next(generate(tiny, rows[1], draws=1, first_draw=2))
    assert alone.prompt.id == together[0].prompt.id
    assert same(alone, next(one for one in together if key(one) == (1, 2)))


def test_samples_come_one_by_one_with_progress(tiny: Mixture):
    told: list[Progress] = []
    samples = generate(tiny, QUESTIONS, draws=3, progress=told.append)
    assert samples.total == 9
    assert told == []
    for number, one in enumerate(samples, start=1):
        assert len(told) == number
        assert (told[-1].finished, told[-1].total, told[-1].slots) == (number, 9, tiny.engine.slots)
        assert told[-1].tokens - (told[-2].tokens if number > 1 else 0) == len(one.token_ids)
    assert told[-1].tokens_per_second > 0


@pytest.mark.parametrize("how", ["close", "leave", "interrupt in the callback", "interrupt in the engine"])
def test_a_run_can_be_left_and_the_mixture_used_again(tiny: Mixture, how, monkeypatch):
    expected = drawn(tiny, QUESTIONS, draws=4)

    def interrupt(progress):
        if progress.finished == 3:
            raise KeyboardInterrupt

    if how == "close":
        samples = generate(tiny, QUESTIONS, draws=4)
        assert len(list(itertools.islice(samples, 3))) == 3
        samples.close()
        assert list(samples) == []
    elif how == "leave":
        with generate(tiny, QUESTIONS, draws=4) as samples:
            next(samples)
    elif how == "interrupt in the callback":
        with pytest.raises(KeyboardInterrupt):
            list(generate(tiny, QUESTIONS, draws=4, progress=interrupt))
    else:
        samples = generate(tiny, QUESTIONS, draws=4)
        next(samples)
        with monkeypatch.context() as patched:
            mixer = tiny.engine._engine._strategy._mixer
            patched.setattr(mixer, "step", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt):
                list(samples)
    again = drawn(tiny, QUESTIONS, draws=4)
    assert again.keys() == expected.keys()
    assert all(same(one, expected[place]) for place, one in again.items())


def test_an_open_run_that_another_one_ended_says_so(tiny: Mixture):
    first = generate(tiny, QUESTIONS, draws=4)
    next(first)
    next(generate(tiny, QUESTIONS, draws=1))
    with pytest.raises(EngineError, match="another run began"):
        list(first)


def test_traces_are_there_on_demand(tiny: Mixture):
    assert all(one.trace is None for one in generate(tiny, QUESTIONS, draws=1))
    for one in generate(tiny, QUESTIONS, draws=1, traces=True):
        assert one.trace.token.tolist() == list(one.token_ids)
        assert one.trace.top_logq is None


def test_columns(tiny: Mixture):
    rows = list(generate(tiny, QUESTIONS, draws=2, traces=True))
    table, tokens = columns(rows), token_columns(rows)
    assert table["completion"].tolist() == [row.completion for row in rows]
    assert {len(values) for values in table.values()} == {6}
    assert {len(values) for values in tokens.values()} == {table["tokens"].sum()}
    for number in range(6):
        mine = tokens["sample"] == number
        assert tokens["position"][mine].tolist() == list(range(len(rows[number].token_ids)))
        assert table["alpha_mean"][number] == pytest.approx(tokens["alpha"][mine].mean(), abs=1e-6)
    assert columns([])["alpha_mean"].shape == token_columns([])["sample"].shape == (0,)
    with pytest.raises(DataError, match="has no trace"):
        token_columns(generate(tiny, QUESTIONS, draws=1))


def test_a_sample_that_fails_is_yielded_with_its_error(tiny: Mixture):
    pair = next(generate(tiny, QUESTIONS[0], draws=1)).pair
    full = pair.model_copy(update={"student_ids": pair.student_ids[:1] * 96})
    rows = list(generate(tiny, [full, QUESTIONS[0]], draws=1, traces=True))
    failed = next(row for row in rows if row.index == 0)
    assert failed.finish_reason is FinishReason.ERROR
    assert "context of 96" in failed.error
    assert failed.summary is failed.trace is None
    assert np.isnan(columns(rows)["alpha_mean"]).sum() == 1
    assert len(token_columns(rows)["alpha"]) == len(next(row for row in rows if row.index == 1).token_ids)


def test_less_memory_is_told_and_changes_nothing(tiny: Mixture, caplog):
    expected = drawn(tiny, QUESTIONS, draws=3)
    whole = tiny.engine
    tiny.engine = Headroom(lambda slots: whole._build(slots) if slots == 4 else _full(slots), 16)
    told: list[Progress] = []
    try:
        with caplog.at_level(logging.WARNING):
            found = drawn(tiny, QUESTIONS, draws=3, progress=told.append)
    finally:
        tiny.engine = whole
    assert {one.slots for one in told} == {4}
    assert len(caplog.messages) == 2
    assert all(same(one, expected[place]) for place, one in found.items())


def _full(slots: int):
    raise MemoryError(f"no room for {slots}")


WRONG = [
    (lambda mix: Mixture("nowhere/at/all"), ModelError, "no checkpoint folder"),
    (lambda mix: Mixture(alpha="magic"), ConfigError, "alpha.method = 'magic' is unknown"),
    (lambda mix: Mixture(alpha=1.5), ConfigError, "alpha.fixed = 1.5 is wrong"),
    (lambda mix: Mixture(alpha=True), ConfigError, "alpha = True is wrong"),
    (lambda mix: Mixture(alpha=float("nan")), ConfigError, "alpha.fixed = nan is wrong"),
    (lambda mix: Mixture(sampling={"temprature": 1}), ConfigError, "did you mean sampling.temperature"),
    (lambda mix: Mixture(sampling={"stop": ["a", ""]}), ConfigError, "an empty text would end every completion"),
    (lambda mix: Mixture(sampling=3), ConfigError, "sampling = 3 is wrong"),
    (lambda mix: Mixture(engine={"top_logprobs": 2, "diagnostics": False}), ConfigError, "needs engine.diagnostics"),
    (lambda mix: Mixture(prompts={"student": "{{ answer }}"}), ConfigError, "the student must not see it"),
    (lambda mix: Mixture(config="no.yaml"), ConfigError, "no settings file"),
    (lambda mix: Mixture(""), ConfigError, "a model's name is empty"),
    (lambda mix: Mixture({"model": ""}), ConfigError, "student.model = '' is wrong"),
    (lambda mix: generate(Mixture(engine={"top_logprobs": 900}), QUESTIONS), ConfigError, "more than the vocabulary"),
    (lambda mix: generate(mix, QUESTIONS, draws=0), ConfigError, "draws = 0 is wrong"),
    (lambda mix: generate(mix, QUESTIONS, draws=1, first_draw=-1), ConfigError, "first_draw = -1 is wrong"),
    (lambda mix: generate(mix, ["sort 1 2", ""]), DataError, "prompt 1: the prompt is empty"),
    (lambda mix: generate(mix, ["Ωmega"]), DataError, "prompt 0 cannot be used: .*cannot encode"),
    (lambda mix: generate(mix, [{"qestion": "sort 1"}]), DataError, "prompt 0: no known schema .* qestion"),
    (lambda mix: generate(mix, {"role": "user", "content": "sort 1"}), DataError, "a single message"),
    (lambda mix: generate(mix, [[]]), DataError, "prompt 0: the messages column is missing or empty"),
    (lambda mix: generate(mix, [["sort 1"]]), DataError, "prompt 0: a message lacks a known role"),
    (lambda mix: generate(mix, [{1: "sort 1"}]), DataError, "prompt 0: a row has the column 1, which is no name"),
    (lambda mix: generate(mix, ["sort \ud800"]), DataError, "prompt 0: the text holds half of a surrogate pair"),
    (lambda mix: Mixture(Path("/nowhere")), ModelError, "no checkpoint folder at /nowhere"),
    (lambda mix: generate(mix, [None]), DataError, "prompt 0 is a NoneType"),
    (lambda mix: generate(mix, 7), DataError, "'int' object is not iterable"),
    (lambda mix: generate(mix, mix.pair("", "sort")), DataError, "ids are empty"),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_what_is_wrong_is_said_in_one_line_before_anything_runs(tiny: Mixture, call, kind, message):
    with pytest.raises(kind, match=message) as caught:
        call(tiny)
    assert "\n" not in str(caught.value)


def test_importing_the_core_is_light():
    program = ("import sys, qstar_core\n"
               "assert set(qstar_core.__all__) <= set(dir(qstar_core))\n"
               "assert not {'torch', 'transformers', 'pydantic', 'numpy'} & set(sys.modules), 'heavy'\n"
               "assert not hasattr(qstar_core, 'nothing')\n")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
