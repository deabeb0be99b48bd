from __future__ import annotations

from qstar_core.plural import counted


def test_one_alone_has_no_s() -> None:
    assert [counted(n, "row") for n in (0, 1, 2, 1000)] == ["0 rows", "1 row", "2 rows", "1000 rows"]
