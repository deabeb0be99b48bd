"""A draft shows what was changed in it and leaves the store as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from qstar_core.errors import ConflictError, IntegrityError, NotFoundError
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.draft import DraftStore
from qstar_core.store.integrity import sha256_bytes


@pytest.fixture
def real(tmp_path: Path) -> DirectoryStore:
    store = DirectoryStore(tmp_path / "real")
    for name in ("a/1", "a/2", "b/1"):
        store.write(name, name.encode())
    return store


@pytest.fixture
def draft(real: DirectoryStore, tmp_path: Path) -> DraftStore:
    return DraftStore(real, DirectoryStore(tmp_path / "changed"))


def keys(store: DraftStore | DirectoryStore, prefix: str = "") -> list[str]:
    return [info.key for info in store.list(prefix)]


def test_changes_are_seen_in_the_draft_and_nowhere_else(real: DirectoryStore, draft: DraftStore,
                                                        tmp_path: Path) -> None:
    before = [(info.key, info.etag) for info in real.list("")]
    (tmp_path / "file").write_bytes(b"uploaded")
    draft.write("a/1", b"new")
    draft.upload("c/1", tmp_path / "file")
    draft.copy("a/1", "a/3", sha256=sha256_bytes(b"new"))
    draft.delete("b/1")
    draft.delete("a/2")
    draft.write("a/2", b"back")
    assert keys(draft) == ["a/1", "a/2", "a/3", "c/1"] and keys(draft, "a/") == ["a/1", "a/2", "a/3"]
    assert [draft.read(key) for key in keys(draft)] == [b"new", b"back", b"new", b"uploaded"]
    assert b"".join(draft.chunks("c/1", 2)) == b"loaded"
    draft.download("a/3", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == b"new" and draft.read_with_etag("a/3")[0] == b"new"
    assert draft.head("b/1") is None and draft.uri == real.uri and draft.locate("a/1") == real.locate("a/1")
    with pytest.raises(NotFoundError, match="b/1"):
        draft.read("b/1")
    assert [(info.key, info.etag) for info in real.list("")] == before


def test_conditions_hold_over_both(draft: DraftStore) -> None:
    with pytest.raises(ConflictError):
        draft.write("a/1", b"x", if_absent=True)
    _, etag = draft.read_with_etag("a/1")
    changed = draft.write("a/1", b"x", if_match=etag)
    for wrong in ({"if_match": etag}, {"if_absent": True}):
        with pytest.raises(ConflictError):
            draft.write("a/1", b"y", **wrong)
    draft.write("a/1", b"y", if_match=changed)
    draft.delete("a/1")
    with pytest.raises(ConflictError):
        draft.write("a/1", b"z", if_match=changed)
    draft.write("a/1", b"z", if_absent=True)
    with pytest.raises(IntegrityError):
        draft.copy("a/1", "a/9", sha256="0" * 64)
