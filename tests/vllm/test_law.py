"""What vLLM draws is distributed as q*, and the test would have noticed if it were not."""

from pathlib import Path

import pytest

from tests.vllm.models import needs_vllm, settings_of

pytestmark = [pytest.mark.vllm, needs_vllm]


@pytest.mark.parametrize("count", [3_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_the_first_two_tokens(tmp_path: Path, count: int) -> None:
    from tests.vllm.law import judged

    settings = settings_of({"batch_size": 64, "diagnostics": False}, sampling={"max_tokens": 2, "seed": 7})
    verdict = judged(tmp_path, count, settings)
    assert verdict.p >= 0.01 and verdict.p_control < 1e-3, verdict
