"""Prune tells before it does; what is needed stays, whatever the rule; a killed prune shows no half version and the
next one ends it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qstar_core.errors import ConfigError, IntegrityError, NotFoundError, StoreError
from qstar_core.stages.pruning import Kind, PrunePlan, Rule, plan_prune, prune
from qstar_core.stages.replaying import ReplaySource
from qstar_core.stages.verifying import verify
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.localserver import RunningS3
from qstar_core.store.objects import ObjectStore
from qstar_core.store.versions import Versions
from tests.stages.made import publish, workspace
from tests.stages.scripted import FailingStore

ONE = Rule(keep=1, generations=0)


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "directory":
        return DirectoryStore(tmp_path / "store")
    server: RunningS3 = request.getfixturevalue("s3_server")
    return server.store(f"prune-{tmp_path.name}")


def chain(store: ObjectStore, folder: Path, count: int, **fields: Any) -> list[str]:
    """v0 ← v1 ← … and the last one latest."""
    names = [f"v{number}" for number in range(count)]
    for number, name in enumerate(names):
        publish(store, folder / "x", name, parents=tuple(names[number - 1:number]),
                created=f"2026-01-{number + 1:02d}T00:00:00+00:00", **fields)
    return names


def planned(store: ObjectStore, rule: Rule = ONE, **given: Any) -> PrunePlan:
    return plan_prune(workspace(store, gate={"history": 1}), "d", rule, **given)


def removed(plan: PrunePlan) -> list[str]:
    return [removal.name for removal in plan.removals]


def names(store: ObjectStore) -> list[str]:
    return list(Versions(store, "d").names())


def test_a_plan_changes_nothing_and_is_what_is_done(store: ObjectStore, tmp_path: Path) -> None:
    chain(store, tmp_path, 5)
    before = {info.key: info.etag for info in store.list("")}
    plan = planned(store)
    assert {info.key: info.etag for info in store.list("")} == before
    assert removed(plan) == ["v0", "v1", "v2"] and set(plan.kept) == {"v3", "v4"}
    assert (plan.kept["v4"], plan.kept["v3"]) == ("it is the newest", "it is a parent of v4")
    done = prune(workspace(store), plan)
    gone = {info.key for removal in plan.removals for info in removal.files}
    assert {info.key for info in store.list("")} == before.keys() - gone
    assert [removal.name for removal in done.removed] == ["v0", "v1", "v2"] and not done.spared
    assert names(store) == ["v3", "v4"]
    for name in names(store):
        assert not verify(workspace(store), Versions(store, "d"), name).faults
    again = planned(store)
    assert (again.removals, again.folders) == ((), 0)


def test_without_a_rule_no_version_goes_and_by_default_no_parent_of_what_stays(store: ObjectStore,
                                                                              tmp_path: Path) -> None:
    chain(store, tmp_path, 4)
    assert removed(planned(store, Rule())) == []
    assert removed(planned(store, Rule(keep=1))) == []
    assert removed(planned(store, Rule(keep=1, generations=2))) == ["v0"]
    Versions(store, "d").rollback("v1")
    assert removed(planned(store, Rule(keep=0))) == ["v2", "v3"]
    with pytest.raises(ConfigError, match="keep is negative"):
        Rule(keep=-1)


def test_age_and_number_count_both(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    chain(store, tmp_path, 6)
    now = 1767225600 + 6 * 86400.0  # 2026-01-07
    assert removed(planned(store, Rule(older_than_days=3, generations=0), now=now)) == ["v0", "v1", "v2"]
    assert removed(planned(store, Rule(keep=4, older_than_days=5, generations=0), now=now)) == ["v0"]
    assert removed(planned(store, Rule(keep=5, older_than_days=3, generations=0), now=now)) == ["v0"]


def test_what_students_were_trained_on_stays_with_all_it_descends_from(store: ObjectStore, tmp_path: Path) -> None:
    chain(store, tmp_path, 6)
    record = {"uri": "x", "sha256": "y", "dataset_version": "v2"}
    for key, version in (("students/a/latest.json", "v2"), ("checkpoints/a/0/checkpoint.json", "v2"),
                         ("students/a/latest.json", store.locate("datasets/d/versions/v2"))):
        store.write(key, json.dumps(record | {"dataset_version": version}).encode())
        plan = planned(store)
        assert removed(plan) == ["v3"] and "was trained on it" in plan.kept["v2"]
        store.delete(key)
    store.write("students/a/latest.json", json.dumps(record | {"dataset_version": None}).encode())
    assert removed(planned(store)) == ["v0", "v1", "v2", "v3"]
    for wrong in (b"{}", b"not json", b'{"dataset_version": 3}'):
        store.write("students/a/latest.json", wrong)
        with pytest.raises(IntegrityError, match="does not say which version"):
            planned(store)


def test_replayed_rows_and_rounds_under_way_hold_their_versions(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    names = chain(store, tmp_path, 5)
    publish(store, tmp_path / "x", "v5", parents=(names[-1],), replay={"v1": 2}, created="2026-01-06T00:00:00+00:00")
    assert removed(planned(store)) == ["v0", "v2", "v3"]
    store.write("datasets/d/staged/next/replay.json", ReplaySource(versions=("v2",)).model_dump_json().encode())
    plan = planned(store)
    assert removed(plan) == ["v0", "v3"] and plan.kept["v2"] == "next, which is under way, takes rows of it"
    later = planned(store, now=time.time() + 31 * 86400)
    assert removed(later) == ["next", "v0", "v2", "v3"]


def test_what_the_next_round_reads_stays(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    chain(store, tmp_path, 8)
    space = workspace(store, gate={"history": 2}, mixing={"replay": {"share": 0.1, "versions": 3}})
    assert set(plan_prune(space, "d", ONE).kept) == {"v4", "v5", "v6", "v7"}
    asked = {"gate": {"history": 4}}
    publish(store, tmp_path / "x", "v8", parents=("v7",), created="2026-01-09T00:00:00+00:00", settings=asked)
    assert set(planned(store).kept) == {"v4", "v5", "v6", "v7", "v8"}


def test_a_damaged_version_stops_it(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    chain(store, tmp_path, 3)
    store.write("datasets/d/versions/v1/manifest.json", b"{}")
    with pytest.raises(IntegrityError, match="the manifest of d v1 is damaged"):
        planned(store)


def test_files_that_another_version_lists_stay_until_it_goes(store: ObjectStore, tmp_path: Path) -> None:
    first = publish(store, tmp_path / "x", "v0")
    shared = first.files[0]
    second = publish(store, tmp_path / "x", "v1", created="2026-01-02T00:00:00+00:00", latest=False)
    files = tuple(sorted((shared, *second.files), key=lambda ref: ref.key))
    for dataset in ("d", "other"):
        key = f"datasets/{dataset}/versions/v1/manifest.json"
        changed = second.model_copy(update={"files": files, "dataset": dataset})
        store.write(key, changed.model_dump_json().encode())
    Versions(store, "d").promote("v1")
    prune(workspace(store), planned(store))
    assert names(store) == ["v1"]
    assert [info.key for info in store.list("datasets/d/versions/v0/")] == [shared.key]
    assert planned(store).removals == ()
    store.delete("datasets/other/versions/v1/manifest.json")
    publish(store, tmp_path / "x", "v2", created="2026-01-03T00:00:00+00:00")
    prune(workspace(store), planned(store))
    assert names(store) == ["v2"]
    prune(workspace(store), planned(store))
    assert {info.key.split("/")[3] for info in store.list("datasets/d/versions/")} == {"v2"}


def test_leftovers_go_but_not_what_is_being_published(store: ObjectStore, tmp_path: Path) -> None:
    chain(store, tmp_path, 1)
    store.write("datasets/d/versions/half/data/data.jsonl", b"x")
    store.write("datasets/d/versions/busy/data/data.jsonl", b"x")
    store.write("datasets/d/staged/busy/staged.json", b"{}")
    plan = planned(store, Rule())
    assert [(removal.kind, removal.name) for removal in plan.removals] == [(Kind.LEFTOVER, "half")]
    store.write("datasets/d/staged/half/staged.json", b"{}")
    assert [removal.name for removal in prune(workspace(store), plan).spared] == ["half"]
    store.delete("datasets/d/staged/half/staged.json")
    publish(store, tmp_path / "x", "half", latest=False)
    assert [removal.name for removal in prune(workspace(store), plan).spared] == ["half"]
    assert not verify(workspace(store), Versions(store, "d"), "half").faults


def test_abandoned_staged_rounds_go_unless_somebody_comes_back(store: ObjectStore, tmp_path: Path) -> None:
    chain(store, tmp_path, 1)
    for name in ("gate.json", "data/data.jsonl"):
        store.write(f"datasets/d/staged/old/{name}", b"x")
    soon, later = time.time() + 29 * 86400, time.time() + 31 * 86400
    assert removed(planned(store, Rule(), now=soon)) == []
    plan = planned(store, Rule(), now=later)
    assert removed(plan) == ["old"]
    time.sleep(1.1)  # an object's time is told in whole seconds
    store.write("datasets/d/staged/old/gate.json", b"y")
    assert [removal.name for removal in prune(workspace(store), plan).spared] == ["old"]
    prune(workspace(store), planned(store, Rule(), now=later))
    assert list(store.list("datasets/d/staged/")) == []


def test_half_of_a_staged_round_does_not_look_like_one(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    chain(store, tmp_path, 1)
    for name in ("data/data.jsonl", "gate.json"):
        store.write(f"datasets/d/staged/old/{name}", b"x")
    plan = planned(store, Rule(), now=time.time() + 31 * 86400)
    with pytest.raises(StoreError, match="the store is gone"):
        prune(workspace(FailingStore(store, 1)), plan)  # type: ignore[arg-type]
    assert [info.key for info in store.list("datasets/d/staged/")] == ["datasets/d/staged/old/data/data.jsonl"]


def test_a_rollback_in_the_last_moment_wins(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    chain(store, tmp_path, 3)
    versions = Versions(store, "d")
    plan = planned(store)

    class Late:
        """Somebody rolls back when the manifest is about to go, or has just gone."""

        def __init__(self, first: bool) -> None:
            self.first = first

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def delete(self, key: str) -> None:
            wanted = key == "datasets/d/versions/v0/manifest.json"
            if wanted and self.first:
                versions.rollback("v0")
            store.delete(key)

    done = prune(workspace(Late(True)), plan)  # type: ignore[arg-type]
    assert [removal.name for removal in done.spared] == ["v0"]
    assert not verify(workspace(store), versions, "v0").faults
    latest = versions.latest()
    assert latest is not None and latest.version == "v0"


def test_a_rollback_to_what_is_just_removed_is_undone(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    chain(store, tmp_path, 3)

    class Removing:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def write(self, key: str, data: bytes, **condition: Any) -> str:
            if key.endswith("latest.json") and b'"version": "v0"' in data:
                store.delete("datasets/d/versions/v0/manifest.json")
            return store.write(key, data, **condition)

    before = Versions(store, "d").latest()
    with pytest.raises(NotFoundError, match="d v0 was removed in this moment"):
        Versions(Removing(), "d").rollback("v0")  # type: ignore[arg-type]
    assert Versions(store, "d").latest() == before


def test_killed_anywhere_no_half_version_is_seen_and_the_next_prune_ends_it(tmp_path: Path) -> None:
    for left in range(40):
        store = DirectoryStore(tmp_path / str(left))
        chain(store, tmp_path, 4)
        try:
            prune(workspace(FailingStore(store, left)), planned(store))  # type: ignore[arg-type]
            ended = True
        except StoreError:
            ended = False
        for name in names(store):
            assert not verify(workspace(store), Versions(store, "d"), name).faults, left
        prune(workspace(store), planned(store))
        assert {info.key.split("/")[3] for info in store.list("datasets/d/versions/")} == {"v2", "v3"}
        assert sorted(path.name for path in (tmp_path / str(left) / "datasets/d/versions").iterdir()) == ["v2", "v3"]
        if ended:
            break
    assert ended and left == 2 * 6, "two versions: a manifest twice, and four files"


def test_nothing_goes_where_nothing_is_latest_or_latest_is_not_there(store: ObjectStore, tmp_path: Path) -> None:
    chain(store, tmp_path, 3)
    plan, pointer = planned(store), store.read("datasets/d/latest.json")
    store.delete("datasets/d/latest.json")
    assert prune(workspace(store), plan).removed == [] and names(store) == ["v0", "v1", "v2"]
    with pytest.raises(IntegrityError, match=r"nothing is latest: .* — make a version latest with `qstar datasets"):
        planned(store, Rule(keep=0, generations=0))
    with pytest.raises(NotFoundError, match=r"none is latest \(v0, v1, v2\) — `qstar datasets rollback VERSION`"):
        Versions(store, "d").latest_name()
    store.write("datasets/d/latest.json", pointer.replace(b"v2", b"gone"))
    with pytest.raises(IntegrityError, match="`latest` names gone, which is not listed"):
        planned(store, Rule(keep=0, generations=0))
    Versions(store, "d").rollback("v2")
    assert removed(planned(store)) == ["v0"]


def test_what_a_linked_version_needs_is_not_guessed(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    chain(store, tmp_path, 3)
    linked = tmp_path / "store/datasets/d/versions/v1"
    linked.rename(tmp_path / "elsewhere")
    linked.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IntegrityError, match="d v1 is there, but is not listed"):
        planned(store, Rule(keep=1))
    linked.unlink()
    assert removed(planned(store, Rule(keep=1))) == ["v0"]


def test_empty_folders_go_and_nothing_else(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    chain(store, tmp_path, 1)
    root = tmp_path / "store/datasets/d"
    for name in ("staged/a/b/c", "rounds/x", "versions/v0/more"):
        (root / name).mkdir(parents=True)
    (root / "linked").symlink_to(tmp_path)
    (root / "holds").mkdir()
    (root / "holds/link").symlink_to(tmp_path, target_is_directory=True)
    plan = planned(store, Rule())
    assert plan.folders == 7 and (root / "rounds/x").is_dir()
    assert prune(workspace(store), plan).folders == 7
    assert {path.name for path in root.iterdir()} == {"versions", "latest.json", "linked", "holds"}
    assert not verify(workspace(store), Versions(store, "d"), "v0").faults


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_rule_what_is_needed_stays(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Of any tree of versions: latest, every parent of what stays, and the whole descent of a trained-on version."""
    folder = tmp_path_factory.mktemp("tree")
    store = DirectoryStore(folder / "store")
    count = data.draw(st.integers(1, 6))
    parents: dict[str, tuple[str, ...]] = {}
    for number in range(count):
        known = list(parents)
        chosen = data.draw(st.lists(st.sampled_from(known), max_size=2, unique=True)) if known else []
        parents[f"v{number}"] = tuple(chosen)
        publish(store, folder / "x", f"v{number}", parents=tuple(chosen), samples="a",
                created=f"2026-01-{number + 1:02d}T00:00:00+00:00", latest=number == 0)
    latest = data.draw(st.sampled_from(list(parents)))
    Versions(store, "d").rollback(latest)
    student = data.draw(st.sampled_from([None, *parents]))
    store.write("students/a/latest.json", json.dumps({"dataset_version": student}).encode())
    rule = Rule(keep=data.draw(st.integers(0, 3)), generations=data.draw(st.sampled_from([0, 1, 9])))
    prune(workspace(store), plan_prune(workspace(store), "d", rule))
    left = set(names(store))
    assert latest in left and set(sorted(parents)[count - min(rule.keep or 0, count):]) <= left
    if rule.generations == 9:
        assert all(set(parents[name]) <= left for name in left)
    ahead = [student] if student else []
    while ahead:
        name = ahead.pop()
        assert name in left
        ahead += parents[name]


def test_the_way_out_of_a_damaged_manifest_is_told_and_leads_out(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    chain(store, tmp_path, 3)
    key = "datasets/d/versions/v0/manifest.json"
    store.write(key, b"{")
    with pytest.raises(IntegrityError, match=f"remove {key} from the store"):
        planned(store)
    store.delete(key)
    prune(workspace(store), planned(store))
    assert {info.key.split("/")[3] for info in store.list("datasets/d/versions/")} == {"v1", "v2"}
