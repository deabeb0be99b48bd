import pytest
import torch

from tests.engine.models import Duo, duo


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def eight(tmp_path_factory) -> Duo:
    """Eight tokens: small enough to enumerate."""
    return duo(tmp_path_factory.mktemp("eight"), 8)


@pytest.fixture(scope="package")
def forty(tmp_path_factory) -> Duo:
    return duo(tmp_path_factory.mktemp("forty"), 40)
