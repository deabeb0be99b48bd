from tests.evaluation.conftest import damaged, tiny

__all__ = ["damaged", "tiny"]
