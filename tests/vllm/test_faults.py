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
