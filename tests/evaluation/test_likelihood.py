"""The likelihood of a text is the product of what the model says token by token, alone or in a batch."""

from __future__ import annotations

import pytest
import torch

from qstar_core.engine.tokenizer import shared_columns
from qstar_core.errors import EngineError
from qstar_core.evaluation.likelihood import Likelihood, log_probabilities
from tests.engine.conftest import forty  # noqa: F401 - a fixture
from tests.engine.models import Duo, loaded


def rows(count: int):
    generator = torch.Generator().manual_seed(0)
    made = []
    for number in range(count):
        length = 6 + number % 7
        made.append((tuple(torch.randint(5, 40, (length,), generator=generator).tolist()), 2 + number % 3))
    return made


def token_by_token(duo: Duo, ids, start) -> float:
    total = 0.0
    for position in range(start, len(ids)):
        logits = duo.student.network(input_ids=torch.tensor([ids[:position]])).logits[0, -1, :40]
        total += float(logits.log_softmax(-1)[ids[position]])
    return total


def test_a_batch_gives_what_each_token_gives(forty: Duo):  # noqa: F811
    asked = rows(40)
    found = log_probabilities(forty.student, shared_columns(forty.tokenizer, forty.student), 64, asked)
    for (ids, start), one in zip(asked, found, strict=True):
        assert one.tokens == len(ids) - start
        assert one.log_p == pytest.approx(token_by_token(forty, ids, start), abs=1e-3)


def test_what_is_beyond_the_context_is_cut_off(forty: Duo):  # noqa: F811
    (ids, start), = rows(1)
    assert log_probabilities(forty.student, 40, 4, [(ids, start)]) == log_probabilities(
        forty.student, 40, 64, [(ids[:4], start)])
    assert log_probabilities(forty.student, 40, 2, [(ids, start)]) == [Likelihood(0.0, 0)]


def test_nan_is_an_error(forty: Duo):  # noqa: F811
    class Broken:
        config = forty.student.network.config

        def __call__(self, **inputs):
            out = forty.student.network(**inputs)
            out.logits.fill_(float("nan"))
            return out

    with pytest.raises(EngineError, match="no number"):
        log_probabilities(loaded("broken", Broken()), 40, 64, rows(1))
