"""One engine for both roles: the same weights, or base and LoRA, row beside row."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from qstar_core.engine.vllm.layout import Layout, weights_of
from qstar_core.engine.vllm.order import MixOrder
from qstar_core.errors import ModelError
from tests.engine.adapters import save_adapter
from tests.vllm.models import (
    CONTEXT,
    Tiny,
    assert_same,
    needs_vllm,
    network,
    recomputed,
    run,
    settings_of,
    torch_engine,
    vllm_engine,
)


@pytest.fixture(scope="module")
def loras(tiny: Tiny, tmp_path_factory) -> list:
    """Three adapters on the teacher's weights."""
    base = network(tiny.teacher.path)
    made = []
    for number, scale in enumerate((0.05, 0.1, 0.15)):
        folder = save_adapter(tmp_path_factory.mktemp("lora") / str(number), base, scale=scale)
        made.append(tiny.lora(f"lora-{number}", folder, tiny.teacher))
    return made


def test_paired_where_the_weights_are_the_same_and_nobody_objects(tiny: Tiny, loras) -> None:
    assert weights_of(tiny.teacher, tiny.teacher, True).layout is Layout.PAIRED
    assert weights_of(tiny.teacher, tiny.teacher, False).layout is Layout.NESTED
    assert weights_of(tiny.student, tiny.teacher, True).layout is Layout.NESTED
    beside = [weights_of(lora, tiny.teacher, True) for lora in loras]
    assert beside[0].layout is Layout.PAIRED and beside[0].lora
    assert beside[0] == beside[1] == beside[2], "students that differ in their adapter share what runs"
    assert weights_of(loras[0], tiny.student, True).layout is Layout.NESTED


def test_a_lora_that_does_not_fit_is_refused_before_anything_is_loaded(tiny: Tiny, loras, tmp_path) -> None:
    """vLLM would leave out the layer that the base does not have."""
    folder = Path(loras[0].adapter.path)
    weights = load_file(folder / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"down_proj is \[64, 192\], and the adapter has 224 where that has 192 — "):
        weights_of(tiny.lora("other", folder, tiny.student), tiny.teacher, True)
    wrong = {"has no matrices of a LoRA": {"x": torch.zeros(2)},
             r"layers\.99\.self_attn\.q_proj has no counterpart": {
                 **weights, **{name.replace("layers.0", "layers.99"): value.clone() for name, value in weights.items()
                               if "layers.0.self_attn.q_proj" in name}}}
    for number, (line, tensors) in enumerate(wrong.items()):
        shutil.copytree(folder, tmp_path / str(number))
        save_file(tensors, tmp_path / str(number) / "adapter_model.safetensors")
        with pytest.raises(ModelError, match=line):
            weights_of(tiny.lora("wrong", tmp_path / str(number), tiny.teacher), tiny.teacher, True)
    (tmp_path / "0" / "adapter_model.safetensors").write_bytes(b"junk")
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors cannot be read"):
        weights_of(tiny.lora("junk", tmp_path / "0", tiny.teacher), tiny.teacher, True)


@pytest.mark.vllm
@needs_vllm
def test_the_same_weights_twice(tiny: Tiny, monkeypatch) -> None:
    """Also where the two rows of a sample often have no place in one step, and begin again."""
    from qstar_core.engine.vllm.pairs import PairedRequests

    begun = []
    begin = PairedRequests._begin
    monkeypatch.setattr(PairedRequests, "_begin", lambda self, name: (begun.append(name), begin(self, name)))
    settings = settings_of({"vllm": {"kv_cache_gib": 0.0007}})
    jobs = tiny.jobs(12, draws=2)
    found = run(vllm_engine(tiny.teacher, tiny.teacher, settings), jobs)
    assert len(begun) > len(jobs)
    both = network(tiny.teacher.path)
    errors = recomputed(found.values(), jobs, both, both, max(tiny.tokenizer.vocabulary.values()) + 1)
    assert errors.mean <= 1e-4 and errors.most <= 2e-3, (errors.mean, errors.most)
    assert_same(found, run(torch_engine(tiny.teacher, tiny.teacher, tiny.tokenizer, settings), jobs))


@pytest.mark.vllm
@needs_vllm
def test_a_token_that_one_row_did_not_take_does_not_count() -> None:
    """The student's row was in the middle of its prompt: vLLM threw its token away, and the teacher's row went on."""
    from vllm.v1.sample.logits_processor import BatchUpdate

    from qstar_core.engine.vllm.hosts import KEY, forget, host_named
    from qstar_core.engine.vllm.mixing import Mixing
    from qstar_core.engine.vllm.paired import PairProcessor

    host = host_named("test")
    settings = settings_of()
    host.mixing = Mixing(MixOrder(alpha=settings.alpha, sampling=settings.sampling, support=settings.support,
                                  engine=settings.engine, special_ids=frozenset({0}), vocab=8, stop=0))
    processor = PairProcessor(SimpleNamespace(additional_config={KEY: "test"}), None, False)
    outputs: list[list[int]] = [[], []]
    params = [SimpleNamespace(extra_args={KEY: {"id": "a", "student": role, "key": 1, "begun": 0}})
              for role in (False, True)]
    processor.update_state(BatchUpdate(2, removed=[], moved=[], added=[
        (row, params[row], [], outputs[row]) for row in range(2)]))
    drawn = processor.apply(torch.randn(2, 8)).argmax(-1)
    assert drawn[0] == drawn[1]
    outputs[0].append(int(drawn[0]))
    assert processor.apply(torch.randn(2, 8)).argmax(-1).tolist() == [0, 0]
    assert host.told.take(["a"]) == {}
    forget("test")


@pytest.mark.vllm
@needs_vllm
@pytest.mark.parametrize("share", [True, False])
def test_lora_students_come_and_go_on_a_base_that_stays(tiny: Tiny, loras, share: bool) -> None:
    """Two at once, then one that was trained again; the teacher's rows stay the base's."""
    settings = settings_of({"share_forward": share})
    jobs = tiny.jobs(4, draws=2)
    theirs = [run(torch_engine(lora, tiny.teacher, tiny.tokenizer, settings), jobs) for lora in loras]
    assert theirs[0] != theirs[1]
    engine = vllm_engine(loras[0], tiny.teacher, settings, CONTEXT)
    server = engine._server(loras[0])

    def two():
        for number, job in enumerate(jobs):
            engine.use_student(loras[number % 2])
            yield job

    mixed = run(engine, two())
    wanted = {job.sample_id: theirs[number % 2][job.sample_id] for number, job in enumerate(jobs)}
    assert_same(mixed, wanted)
    for number in (2, 0, 1):
        engine.use_student(loras[number])
        assert_same(run(engine, jobs), theirs[number])
    assert engine._server(loras[2]) is server and not server.closed
