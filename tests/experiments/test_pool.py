"""What a worker is to the work that is done in it."""

from __future__ import annotations

from qstar_core.experiments.pool import Pool
from qstar_core.filters.verifier import Equality, Verifier


def _asked_of_the_verifier() -> list[Equality]:
    verifier = Verifier(1, 5.0, 2048)
    try:
        return verifier.compare([("\\frac{1}{2}", "0.5")])
    finally:
        verifier.close()


def test_work_may_start_processes_of_its_own() -> None:
    with Pool(1) as pool:
        assert pool._executor.submit(_asked_of_the_verifier).result() == [Equality.SAME]
