"""Reading through slots gives what transformers' own attention gives for the whole sequence, in every architecture;
what slots cannot hold is refused with the reason.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

from qstar_core.config import EngineSettings
from qstar_core.engine.attention import FOLDED
from qstar_core.engine.hf import load_model, read_config, shared_context
from qstar_core.engine.loading import check_reading
from qstar_core.engine.runner import ModelRunner
from qstar_core.errors import ModelError
from qstar_core.records import ModelRef
from tests.engine.architectures import CONFIGS, config, random_network
from tests.engine.models import loaded

CONTEXT = 32
NEAR = 2e-5


@pytest.fixture(scope="module", params=CONFIGS)
def both(request):
    """A model that reads through slots, and the same weights with transformers' plain attention."""
    return loaded(request.param, random_network(request.param, FOLDED)), random_network(request.param, "eager")


class Slots:
    """What each slot should have read, what it said after each token, and a runner that does the reading."""

    def __init__(self, model, fixed_length: bool) -> None:
        self.runner = ModelRunner(model, 4, CONTEXT, 40, fixed_length)
        self.texts: dict[int, list[int]] = {}
        self.said: dict[int, list[np.ndarray]] = {}
        self._generator = np.random.default_rng(7)

    def seat(self, slot: int, length: int) -> None:
        self.texts[slot] = self._generator.integers(3, 40, size=length).tolist()
        self.said[slot] = [self.runner.prefill(slot, tuple(self.texts[slot])).numpy()]

    def copy(self, source: int, target: int, length: int) -> None:
        self.runner.copy_prompt(source, target, length)
        self.texts[target], self.said[target] = self.texts[source][:length], []

    def grow(self, steps: int) -> None:
        for _ in range(steps):
            token = torch.tensor(self._generator.integers(3, 40, size=4))
            position = torch.tensor([len(self.texts.get(slot, ())) for slot in range(4)])
            occupied = torch.tensor([slot in self.texts for slot in range(4)])
            logits = self.runner.decode(token, position, occupied)
            for slot, text in self.texts.items():
                text.append(int(token[slot]))
                self.said[slot].append(logits[slot].numpy())

    def check(self, plain) -> None:
        for slot, text in self.texts.items():
            with torch.no_grad():
                whole = plain(input_ids=torch.tensor([text])).logits[0].numpy()
            said = np.stack(self.said[slot])
            np.testing.assert_allclose(said, whole[len(text) - len(said) :], atol=NEAR * np.abs(whole).max(), rtol=0)


@pytest.mark.parametrize("fixed_length", [True, False])
def test_slots_say_what_a_plain_forward_says(both, fixed_length):
    """Alone, beside neighbours of other lengths, after a refill, and from a copied prompt; beyond the window."""
    model, plain = both
    slots = Slots(model, fixed_length)
    for slot, length in ((2, 3), (0, 11), (3, 1)):
        slots.seat(slot, length)
    slots.grow(9)
    slots.check(plain)
    slots.seat(2, 14)  # another sample in the same slot
    slots.copy(0, 1, 11)
    slots.grow(9)
    slots.check(plain)


def test_it_is_loaded_and_seen_to_read_rightly(both, tmp_path):
    model, _ = both
    model.network.save_pretrained(str(tmp_path))
    ref = ModelRef(name="mine", path=str(tmp_path), revision=None, sha256="0" * 64)
    found = load_model(ref, EngineSettings(device="cpu"))
    assert found.network.config._attn_implementation == FOLDED
    check_reading(found)


def saved(folder, made):
    made.save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize(("kind", "reason"), [
    ("BloomConfig", "attention transformers lets nobody replace"),
    ("FalconConfig", "attention transformers lets nobody replace"),
    ("MptConfig", "attention transformers lets nobody replace"),
    ("MambaConfig", "layers of kind linear_attention"),
    ("RwkvConfig", "keeps a running state"),
    ("JambaConfig", "layers of kind linear_attention"),
    ("Llama4TextConfig", "layers of kind chunked_attention"),
    ("T5Config", "no decoder of text"),
])
def test_what_slots_cannot_hold_is_refused(tmp_path, kind, reason):
    with pytest.raises(ModelError, match=reason) as error:
        read_config(saved(tmp_path, getattr(transformers, kind)()))
    assert error.value.fix


def test_layers_of_a_kind_that_nobody_thought_of_are_refused(tmp_path):
    recurrent = transformers.LlamaConfig()
    recurrent.layer_types = ["full_attention", "linear_attention"] * 16
    with pytest.raises(ModelError, match="linear_attention"):
        read_config(saved(tmp_path, recurrent))


class CountsForItself:
    """A model that takes a token's position from how much is remembered, as if all rows were of one length."""

    def __init__(self, network) -> None:
        self._network, self.config = network, network.config

    def __call__(self, position_ids=None, **inputs):
        return self._network(**inputs)


def test_a_model_that_knows_no_row_s_own_position_is_refused():
    with pytest.raises(ModelError, match="other distributions through slots than plainly"):
        check_reading(loaded("odd", CountsForItself(random_network("llama", FOLDED))))


def test_a_model_that_does_not_run_through_slots_is_refused():
    """Mpt's attention has no place for them; a list of names may miss the next such."""
    torch.manual_seed(0)
    made = transformers.MptConfig(vocab_size=40, d_model=32, n_layers=2, n_heads=4, initializer_range=0.25)
    network = AutoModelForCausalLM.from_config(made, attn_implementation=FOLDED).eval()
    with pytest.raises(ModelError, match="cannot be read through slots"):
        check_reading(loaded("odd", network))


def test_a_window_does_not_bound_the_context_and_stretched_rotations_do(tmp_path):
    slides = saved(tmp_path / "slides", config("mistral, window"))
    stretches = saved(tmp_path / "stretches", config("phi3, long rotations"))
    assert shared_context(EngineSettings(), slides, slides) == 64
    assert shared_context(EngineSettings(), slides, stretches) == 32
    with pytest.raises(ModelError, match="33 is more than the models' 32 tokens"):
        shared_context(EngineSettings(context=33), slides, stretches)
