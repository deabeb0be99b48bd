"""Reading through the slot cache gives the logits of one plain forward over the whole sequence."""

import numpy as np
import pytest
import torch

from qstar_core.engine.runner import ModelRunner
from tests.engine.models import Duo

CONTEXT = 32


def plain(model, ids: list[int], vocab: int) -> np.ndarray:
    with torch.no_grad():
        return model.network(input_ids=torch.tensor([ids])).logits[0, -1, :vocab].numpy()


@pytest.mark.parametrize("fixed_length", [True, False])
@pytest.mark.parametrize("side", ["student", "teacher"])
def test_prefill_and_decode_equal_a_plain_forward(forty: Duo, side, fixed_length):
    model = getattr(forty, side)
    runner = ModelRunner(model, 4, CONTEXT, forty.vocab, fixed_length)
    generator = np.random.default_rng(4)
    texts = {slot: generator.integers(0, 40, size=length).tolist() for slot, length in ((2, 3), (0, 11), (3, 1))}
    for slot, text in texts.items():
        np.testing.assert_allclose(runner.prefill(slot, tuple(text)), plain(model, text, 40), atol=1e-4)
    occupied = torch.tensor([slot in texts for slot in range(4)])
    for _ in range(15):
        token = torch.tensor(generator.integers(0, 40, size=4))
        position = torch.tensor([len(texts.get(slot, [])) for slot in range(4)])
        logits = runner.decode(token, position, occupied)
        for slot, text in texts.items():
            text.append(int(token[slot]))
            np.testing.assert_allclose(logits[slot], plain(model, text, 40), atol=1e-4)


def test_a_slot_is_read_anew_after_its_last_sample(forty: Duo):
    """What a longer sample left behind is never seen by a shorter one."""
    runner = ModelRunner(forty.student, 2, CONTEXT, forty.vocab, True)
    runner.prefill(1, tuple(range(5, 30)))
    text = [7, 6, 5]
    np.testing.assert_allclose(runner.prefill(1, tuple(text)), plain(forty.student, text, 40), atol=1e-4)
    logits = runner.decode(torch.tensor([0, 9]), torch.tensor([0, 3]), torch.tensor([False, True]))
    np.testing.assert_allclose(logits[1], plain(forty.student, [*text, 9], 40), atol=1e-4)


def test_a_copied_prompt_is_the_prompt(forty: Duo):
    runner = ModelRunner(forty.student, 3, CONTEXT, forty.vocab, True)
    text = [3, 8, 9, 2, 4]
    runner.prefill(0, tuple(text))
    everyone = torch.ones(3, dtype=torch.bool)
    runner.decode(torch.tensor([11, 0, 0]), torch.tensor([5, 0, 0]), everyone)  # slot 0 goes on before it is copied
    runner.copy_prompt(0, 2, len(text))
    logits = runner.decode(torch.tensor([12, 0, 13]), torch.tensor([6, 0, 5]), everyone)
    np.testing.assert_allclose(logits[0], plain(forty.student, [*text, 11, 12], 40), atol=1e-4)
    np.testing.assert_allclose(logits[2], plain(forty.student, [*text, 13], 40), atol=1e-4)
