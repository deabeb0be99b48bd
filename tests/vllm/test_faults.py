"""What goes wrong with a running vLLM, and what is left of the work."""

from pathlib import Path

import pytest

from qstar_core.engine.protocol import Job
from qstar_core.errors import EngineError
from qstar_core.records import FinishReason, ModelRef
from tests.vllm.models import CONTEXT, Tiny, assert_same, needs_vllm, run, settings_of, torch_engine, vllm_engine

pytestmark = [pytest.mark.vllm, needs_vllm]


def test_requests_of_others_run_in_the_same_engine(tiny: Tiny) -> None:
    """Plain sampling from the teacher, beside q*."""
    from vllm import SamplingParams

    settings = settings_of()
    jobs = tiny.jobs(6, draws=2)
    engine = vllm_engine(tiny.student, tiny.teacher, settings)
    whole = run(engine, jobs)
    server = engine._server(tiny.student)
    plain = SamplingParams(max_tokens=6, temperature=0, ignore_eos=True, detokenize=False)
    ids = {"prompt_token_ids": list(jobs[0].pair.teacher_ids)}
    said = []
    step = server.step

    def watched():
        grown = step()
        said.extend(token for name, tokens, _ in grown if name == "other" for token in tokens)
        return grown

    server.step = watched
    server.engine.add_request("other", ids, plain)
    beside = run(engine, jobs)
    server.step = step
    assert_same(beside, whole)
    server.engine.add_request("alone", ids, plain)
    alone = []
    while server.engine.has_unfinished_requests():
        alone = [list(output.outputs[0].token_ids) for output in server.engine.step()] or alone
    assert len(alone[0]) == 6 and said[-6:] == alone[0][-len(said[-6:]):]


def test_a_student_that_cannot_go_on_is_an_error_and_no_endless_loop(tiny: Tiny, monkeypatch) -> None:
    from qstar_core.engine.vllm import student

    settings = settings_of()
    jobs = tiny.jobs(4)
    engine = vllm_engine(tiny.student, tiny.teacher, settings)
    run(engine, jobs)
    monkeypatch.setattr(student, "_IDLE", 20)
    monkeypatch.setattr(student.Student, "answer", lambda self, logits, rows: None)
    with pytest.raises(EngineError, match="the student makes no progress"):
        run(engine, jobs)
    monkeypatch.undo()
    assert_same(run(engine, jobs), run(torch_engine(tiny.student, tiny.teacher, tiny.tokenizer, settings), jobs))


@pytest.mark.parametrize("paired", [False, True])
def test_a_vllm_that_takes_no_request_up_is_an_error_and_no_endless_loop(tiny: Tiny, monkeypatch, paired: bool) -> None:
    """Its scheduler is paused: steps are made, and nothing comes of them."""
    from vllm.v1.core.sched.interface import PauseState

    from qstar_core.engine.vllm import engine as engines

    settings = settings_of()
    jobs = tiny.jobs(4)
    student = tiny.teacher if paired else tiny.student
    engine = vllm_engine(student, tiny.teacher, settings)
    whole = run(engine, jobs)
    server = engine._server(student)
    monkeypatch.setattr(engines, "_PATIENCE", 20)
    bounded(monkeypatch, server, 20 + CONTEXT + 10)
    server.engine.engine_core.engine_core.scheduler.set_pause_state(PauseState.PAUSED_ALL)
    with pytest.raises(EngineError, match=r"vLLM makes no progress with 4 samples — raise engine\.vllm\.kv_cache_gib"):
        run(engine, jobs)
    assert server.closed
    assert_same(run(engine, jobs), whole)


def test_two_rows_that_never_meet_are_an_error_and_no_endless_loop(tiny: Tiny, monkeypatch) -> None:
    """The student's row of a sample never comes into the step of the teacher's."""
    from qstar_core.engine.vllm.paired import PairProcessor

    jobs = tiny.jobs(2)
    engine = vllm_engine(tiny.teacher, tiny.teacher, settings_of())
    whole = run(engine, jobs)
    server = engine._server(tiny.teacher)
    update = PairProcessor.update_state

    def apart(self, batch_update) -> None:
        update(self, batch_update)
        self._rows = {row: half for row, half in self._rows.items() if not half.student}

    with monkeypatch.context() as patch:
        patch.setattr(PairProcessor, "update_state", apart)
        bounded(patch, server, 10_000)
        with pytest.raises(EngineError, match=r"the two requests of p0/0 are never in one step — raise engine\.vllm"):
            run(engine, jobs[:1])
    assert_same(run(engine, jobs), whole)


@pytest.mark.parametrize("own_process", [False, True])
def test_a_run_whose_engine_made_way_for_another_is_told_so(tiny: Tiny, own_process: bool) -> None:
    """Only one runs in a process; the one before is closed."""
    jobs = tiny.jobs(8, draws=2)
    engine = vllm_engine(tiny.student, tiny.teacher, settings_of({"vllm": {"own_process": own_process}}))
    running = engine.generate(jobs)
    next(running)
    engine._server(tiny.student).close()
    with pytest.raises(EngineError, match="another engine of vLLM was started, which ended this one"):
        list(running)


def bounded(monkeypatch, server, most: int) -> None:
    """A loop that would be endless fails the test."""
    step, steps = server.step, iter(range(most))

    def counted():
        assert next(steps, None) is not None, "an endless loop"
        return step()

    monkeypatch.setattr(server, "step", counted)


def test_models_that_say_nothing_fail_their_samples_and_no_others(tiny: Tiny, tmp_path: Path) -> None:
    """A student whose output has become NaN."""
    import shutil

    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(tiny.student.path, broken)
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] * float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    ref = ModelRef(name="broken", path=str(broken), revision=None, sha256="broken")
    jobs: list[Job] = tiny.jobs(3)
    found = run(vllm_engine(ref, tiny.teacher, settings_of(), CONTEXT), jobs)
    assert {one.sample.finish_reason for one in found.values()} == {FinishReason.ERROR}
    assert {one.sample.error for one in found.values()} == {
        "the student's logits are not a distribution (NaN, +inf or empty) at token 0"}
