from pathlib import Path

import pytest
import torch

from tests.vllm.models import Tiny, close_all


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    close_all()


@pytest.fixture(scope="package")
def tiny(model_cache: Path) -> Tiny:
    return Tiny.at(model_cache)
