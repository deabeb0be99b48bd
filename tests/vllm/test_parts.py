"""What does not need vLLM: widened heads, the shelf of adapters, what is told about tokens, and the way to vLLM."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from qstar_core.engine.vllm.adapters import SLOTS, Shelf, room_for
from qstar_core.engine.vllm.budget import step_budget
from qstar_core.engine.vllm.heads import too_narrow, widen
from qstar_core.engine.vllm.installed import check_installed
from qstar_core.engine.vllm.mixing import Told, rows_of
from qstar_core.errors import ConfigError, EngineError
from tests.vllm.models import Tiny, network, settings_of, vllm_engine


def test_wider_heads_compute_the_same(tiny: Tiny, tmp_path: Path) -> None:
    wide = tmp_path / "wide"
    config = json.loads((Path(tiny.student.path) / "config.json").read_text())
    assert too_narrow(config)
    widen(Path(tiny.student.path), wide)
    assert not too_narrow(json.loads((wide / "config.json").read_text()))
    ids = torch.arange(40)[None] % config["vocab_size"]
    with torch.no_grad():
        before, after = (network(path)(ids).logits for path in (tiny.student.path, wide))
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


def test_heads_that_nobody_can_widen_are_left_alone() -> None:
    plain = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4}
    assert too_narrow(plain)
    assert not too_narrow({**plain, "attention_bias": True})
    assert not too_narrow({**plain, "model_type": "qwen2"})
    assert not too_narrow({**plain, "rope_parameters": {"rope_type": "llama3"}})
    assert not too_narrow({**plain, "hidden_size": 256})


def test_an_adapter_keeps_its_number_until_another_needs_its_place() -> None:
    shelf = Shelf()
    first, gone = shelf.take("a", "/a", ())
    assert gone is None and shelf.take("a", "/a", ())[0] == first
    second, _ = shelf.take("b", "/b", ())
    third, gone = shelf.take("c", "/c", (second[1],))
    assert gone == first and len({first[1], second[1], third[1]}) == 3
    again, gone = shelf.take("a", "/a", (third[1],))
    assert gone == second and again[1] not in (first[1], second[1], third[1])
    with pytest.raises(EngineError, match=f"more than {SLOTS - 1} LoRA students"):
        shelf.take("d", "/d", (third[1], again[1]))


def test_ranks_are_rounded_up_and_bounded() -> None:
    assert [room_for(rank) for rank in (1, 8, 9, 512)] == [8, 8, 16, 512]
    with pytest.raises(EngineError, match="rank 513"):
        room_for(513)


def test_a_step_takes_a_token_of_every_row() -> None:
    settings = settings_of({"vllm": {"step_tokens": 16}}).engine
    assert step_budget(64, 100, settings) == 64 and step_budget(8, 10_000, settings_of().engine) >= 20_000


def test_what_is_told_comes_in_order_and_once() -> None:
    told = Told()
    for position in (1, 0, 2, 1):
        told.put("a", position, np.array([position, 10.0 * position]))
    told.put("a", 1, np.array([1.0, 99.0]))
    told.cut("a", 2)
    rows = rows_of(told.take(["a", "b"]).get("a"))
    assert rows.tolist() == [[0.0, 0.0], [1.0, 99.0]]
    assert rows_of(told.take(["a"]).get("a")).shape == (0, 1)


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_the_setting_is_refused_with_the_way_to_it(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match=r"vLLM is not installed — pip install 'qstar\[vllm\]'"):
        check_installed(settings_of().engine.vllm)
    with pytest.raises(ConfigError, match="vLLM is not installed"):
        vllm_engine(tiny.student, tiny.teacher, settings_of())


@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
def test_a_fixed_draft_length_is_refused(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match=r"engine.speculation = 3 cannot be with engine.kind = vllm"):
        vllm_engine(tiny.student, tiny.teacher, settings_of({"speculation": 3}))
