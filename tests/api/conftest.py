import os
from pathlib import Path

import pytest
import torch

from qstar_core import Mixture


@pytest.fixture(scope="package")
def tiny(model_cache: Path):
    """The two embedded models on one thread."""
    threads, known = torch.get_num_threads(), os.environ.get("QSTAR_MODEL_CACHE")
    os.environ["QSTAR_MODEL_CACHE"] = str(model_cache)
    yield Mixture(sampling={"max_tokens": 24}, engine={"batch_size": 4, "context": 96, "device": "cpu", "threads": 1})
    torch.set_num_threads(threads)
    if known is None:
        del os.environ["QSTAR_MODEL_CACHE"]
