"""What a version cannot give is refused with the reason; a folder appears whole or not at all; no file is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qstar_core.errors import ConfigError, DataError, NotFoundError, QstarError, StoreError
from qstar_core.exports.folder import new_folder
from qstar_core.exports.registry import FORMATS, format_named, kind_named
from qstar_core.stages.exporting import export
from qstar_core.store.finding import find_version
from qstar_core.store.localserver import RunningS3
from qstar_core.store.objects import ObjectStore
from qstar_core.store.opening import open_store
from tests.exports.conftest import Version, publish_round


@pytest.fixture(scope="session")
def unanswered(version: Version, tmp_path_factory: pytest.TempPathFactory) -> Version:
    """A version of prompts without gold answers, so that nothing is wrong and nothing can be verified."""
    path = tmp_path_factory.mktemp("source") / "open.jsonl"
    path.write_text("\n".join(json.dumps({"question": f"sort {i} {i + 1} {i + 2}"}) for i in range(3, 11)))
    return publish_round({"dataset": "open", "source.path": str(path), "round.prompts": 8, "sampling.draws": 2,
                          "gate.warn_only": ["ESS ratio", "divergent ESS ratio", "alpha", "keep rate"],
                          "prompts.teacher": "{{ question }}"})


@pytest.mark.parametrize(("name", "reason"), [
    ("trl-grpo", "no prompt with a gold answer"), ("verl", "no prompt with a gold answer"),
    ("trl-dpo", "no pairs by 'verified': no prompt has both a kept draw with the gold answer"),
    ("trl-kto", "no wrong draws to label"),
])
def test_what_the_version_cannot_give_is_refused_with_the_reason(unanswered: Version, tmp_path: Path, name: str,
                                                                 reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        unanswered.export(name, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    assert unanswered.export("trl-sft", tmp_path / "out").made.rows["train"] == unanswered.manifest.rows


def test_pairs_by_likelihood_need_no_gold_answer(unanswered: Version, tmp_path: Path) -> None:
    done = unanswered.export("trl-dpo", tmp_path / "out", pairs={"method": "likelihood"})
    assert done.made.rows["train"] > 0
    for method in ("score", "teacher_student"):
        with pytest.raises(DataError, match=f"no pairs by '{method}'"):
            unanswered.export("trl-dpo", tmp_path / method, pairs={"method": method})


def test_a_version_without_rows_and_a_split_without_rest_are_refused(version: Version, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no kept rows"):
        version.export("trl-sft", tmp_path / "out", manifest=version.manifest.model_copy(update={"rows": 0}))
    with pytest.raises(DataError, match="the validation split took every prompt"):
        version.export("trl-sft", tmp_path / "out", validation=0.999999)
    assert list(tmp_path.iterdir()) == []


def test_the_same_version_gives_the_same_bytes(version: Version, tmp_path: Path) -> None:
    for name in FORMATS:
        first, second = (version.export(name, tmp_path / f"{name}-{i}", validation=0.3).folder for i in "ab")
        files = [{str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
                 for folder in (first, second)]
        assert files[0] == files[1]


def test_what_is_there_stays_unless_it_is_an_export_and_asked_to_go(version: Version, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    version.export("trl-sft", theirs)  # an empty folder may be filled
    with pytest.raises(ConfigError, match="add --overwrite"):
        version.export("trl-sft", theirs)
    assert version.export("trl-dpo", theirs, overwrite=True).folder == theirs
    assert not (theirs / "sft.yaml").exists() and (theirs / "dpo.yaml").exists()
    (theirs / "export.json").unlink()
    for overwrite in (True, False):
        with pytest.raises(ConfigError, match="is no export"):
            version.export("trl-sft", theirs, overwrite=overwrite)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="is no export"):
        version.export("trl-sft", tmp_path / "file", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "theirs"]


def test_after_an_error_the_old_export_is_still_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "export.json").write_text("old")
    with pytest.raises(DataError), new_folder(out, "export.json", overwrite=True) as part:
        (part / "export.json").write_text("new")
        raise DataError("the rows are damaged")
    assert (out / "export.json").read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_where_the_new_one_cannot_take_its_place_the_old_one_comes_back(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "export.json").write_text("old")
    with pytest.raises(StoreError), new_folder(out, "export.json", overwrite=True) as part:
        part.rmdir()
    assert (out / "export.json").read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_place_that_cannot_be_written_is_named(version: Version, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match=r"file/out cannot be written: .* — .* --out"):
        version.export("trl-sft", tmp_path / "file" / "out")


def test_a_damaged_file_is_named(version: Version, tmp_path: Path) -> None:
    key = next(ref for ref in version.manifest.files if ref.key.endswith("data.parquet"))
    damaged = key.model_copy(update={"sha256": "0" * 64})
    others = tuple(ref for ref in version.manifest.files if ref.key != key.key)
    for files, told in (((*others, damaged), "recorded was 000"), (others, "lists no file data/data.parquet")):
        with pytest.raises(QstarError, match=told):
            version.export("trl-sft", tmp_path / "out", manifest=version.manifest.model_copy(update={"files": files}))
    assert list(tmp_path.iterdir()) == []


def test_unknown_names_are_told_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="use trl-sft, trl-dpo"):
        format_named("csv")
    with pytest.raises(ConfigError, match="use sft, preference"):
        kind_named(format_named("axolotl"), "labelled")


def test_a_version_is_found_by_latest_name_beginning_and_address(version: Version) -> None:
    store, manifest = version.workspace.store, version.manifest

    def find(name: str, dataset: str = "demo") -> str:
        found, versions, full = find_version(store, dataset, name, open_store)
        assert versions.dataset == "demo" and found.uri == store.uri
        return full

    address = store.locate(f"datasets/demo/versions/{manifest.version}")
    for name in ("latest", manifest.version, manifest.version[:3], address, f"{address}/", f"{address}/manifest.json",
                 address.removeprefix("file://")):
        assert find(name, "other" if "/" in name else "demo") == manifest.version
    for name in ("nosuch", ""):
        with pytest.raises(NotFoundError, match=f"there are: {manifest.version}"):
            find(name)
    with pytest.raises(NotFoundError, match="has no version yet"):
        find("latest", "nothing")
    for name in ("a/b", "/datasets/demo/versions/x", "s3://bucket/datasets/x", f"{address}/data/data.parquet"):
        with pytest.raises(ConfigError, match="is not the address of a version"):
            find(name)


def test_a_version_on_s3_is_exported_from_its_address(version: Version, tmp_path: Path, s3_server: RunningS3) -> None:
    bucket, key = s3_server.store("exports"), f"datasets/demo/versions/{version.manifest.version}"
    for name in (*(ref.key for ref in version.manifest.files), f"{key}/manifest.json"):
        bucket.write(name, version.workspace.store.read(name))
    asked: list[str] = []
    store, versions, name = find_version(version.workspace.store, "other", bucket.locate(key),
                                         lambda uri: asked.append(uri) or bucket)  # type: ignore[func-returns-value]
    assert asked == [f"s3://{s3_server.bucket}/exports"]
    for format_name in ("trl-dpo", "hf"):
        there = export(version.workspace, store, versions.manifest(name), FORMATS[format_name],
                       FORMATS[format_name].kinds[0], tmp_path / format_name, overwrite=False)
        assert there.made == version.export(format_name, tmp_path / f"{format_name}-here").made


def test_a_beginning_of_two_names_is_refused(version: Version, tmp_path: Path) -> None:
    store: ObjectStore = open_store(str(tmp_path))
    for name in ("r1-aa", "r1-ab", "r1-a"):
        store.write(f"datasets/demo/versions/{name}/manifest.json", b"{}")
    assert find_version(store, "demo", "r1-a", open_store)[2] == "r1-a"
    with pytest.raises(ConfigError, match="begins 3 versions of demo"):
        find_version(store, "demo", "r1", open_store)
