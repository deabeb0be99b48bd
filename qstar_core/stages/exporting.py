"""A published version → a folder that a trainer takes: data files, the settings it needs, a card.

The folder appears whole under its name or not at all. Rows are streamed from the version's files into files of bounded
size; what the version cannot give is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from qstar_core.errors import DataError
from qstar_core.exports import kinds
from qstar_core.exports.base import Format, Made
from qstar_core.exports.card import export_card
from qstar_core.exports.folder import new_folder
from qstar_core.exports.kinds import Kind
from qstar_core.exports.text import json_text
from qstar_core.exports.writing import write_rows
from qstar_core.records import JsonObject, Manifest, Message
from qstar_core.selection.draws import Turns
from qstar_core.selection.lengths import Balance, LengthGap
from qstar_core.selection.pairs import Pair, pairs_of
from qstar_core.selection.table import DrawTable
from qstar_core.stages.judged import DATA, FILES, TRACES, fetched, fill, parquet_rows
from qstar_core.stages.workspace import Workspace
from qstar_core.store.objects import ObjectStore

RECORD = "export.json"
_READ = {Kind.CONVERSATIONS: (DATA,), Kind.TOKENS: (DATA, TRACES)}
_NO_PAIRS = {
    "verified": "no prompt has both a kept draw with the gold answer and a draw with another answer",
    "score": "no prompt has two kept draws with different scores",
    "likelihood": "no prompt has two kept draws with different log q",
    "teacher_student": "no prompt has both a kept draw of the teacher alone (α = 1) and one of the student alone",
}


@dataclass(frozen=True, slots=True)
class Exported:
    folder: Path
    made: Made
    gap: LengthGap | None


def export(workspace: Workspace, store: ObjectStore, manifest: Manifest, format_: Format, kind: Kind, out: Path, *,
           overwrite: bool) -> Exported:
    """`workspace` gives settings and scratch space; the version may lie in another store."""
    settings = workspace.settings.export
    if not manifest.rows:
        raise DataError(f"{manifest.dataset} {manifest.version} has no kept rows", "export another version")
    with new_folder(out, RECORD, overwrite=overwrite) as folder, workspace.scratch() as scratch:
        files = {name: fetched(store, manifest.files, name, scratch) for name in _READ.get(kind, FILES)}
        schema = format_.schema(kind, pq.read_schema(files[DATA]))
        gap = LengthGap() if kind is Kind.PAIRS else None
        with DrawTable(scratch / "draws.sqlite", workspace.settings.best_of.score_column) as table:
            if kind not in _READ:
                fill(table, files, workspace.settings.best_of.score_column, manifest.version)
            items = _items(workspace, manifest, kind, files, table, gap)
            checked = _present(items, manifest, kind, settings.pairs.method)
            written = write_rows(folder, format_, schema, checked, settings.validation, settings.rows_per_file,
                                 settings.pairs.seed)
        student = manifest.models["student"]
        made = Made(kind=kind, tag=written.tag, dataset=manifest.dataset, version=manifest.version,
                    student=student.path if student.name.startswith("builtin:") else student.name,
                    files=written.files, rows=written.rows)
        if not made.train:
            raise DataError("the validation split took every prompt", "lower export.validation")
        _write_texts(folder, {
            **format_.configuration(made), "README.md": export_card(format_, made, manifest, gap),
            RECORD: json_text(_record(format_, made, manifest, settings.model_dump(mode="json"), gap))})
    return Exported(out, made, gap)


def _items(workspace: Workspace, manifest: Manifest, kind: Kind, files: dict[str, Path], table: DrawTable,
           gap: LengthGap | None) -> Iterator[kinds.Item]:
    match kind:
        case Kind.CONVERSATIONS:
            yield from kinds.conversations(parquet_rows(files[DATA]))
        case Kind.TOKENS:
            traces = parquet_rows(files[TRACES], ["sample_id", "token"])
            yield from kinds.tokens(parquet_rows(files[DATA]), traces, _renderer(manifest))
        case Kind.PAIRS:
            yield from kinds.preferences(_pairs(workspace, table, gap or LengthGap()))
        case Kind.LABELLED:
            yield from kinds.labelled(table.prompts())
        case Kind.QUESTIONS:
            yield from kinds.questions(table.prompts())


def _renderer(manifest: Manifest) -> Callable[[Turns], tuple[int, ...]]:
    """The student's chat template, as it rendered the prompts of the round."""
    from qstar_core.engine.tokenizer import ChatTokenizer  # here: the other kinds need no tokenizer
    from qstar_core.models import present

    student = present(manifest.models["student"])
    tokenizer = ChatTokenizer(student.name, Path(student.path))
    return lambda turns: tokenizer.render(tuple(Message.model_validate(turn) for turn in turns))[1]


def _pairs(workspace: Workspace, table: DrawTable, gap: LengthGap) -> Iterator[Pair]:
    settings = workspace.settings.export.pairs

    def found() -> Iterator[Pair]:
        for draws in table.prompts():
            yield from pairs_of(draws, settings)

    balance = Balance(found(), settings.seed) if settings.balance_length else None
    for pair in found():
        if balance is None or balance.stays(pair):
            gap.add(pair.gap)
            yield pair
        else:
            gap.left_out += 1


def _present(items: Iterable[kinds.Item], manifest: Manifest, kind: Kind, method: str) -> Iterator[kinds.Item]:
    """The items, or DataError where the version has not what the kind needs."""
    version, count, labels = f"{manifest.dataset} {manifest.version}", 0, set[bool]()
    for item in items:
        count += 1
        if isinstance(item, kinds.Labelled):
            labels.add(item.good)
        yield item
    if kind is Kind.LABELLED and len(labels) < 2:
        raise DataError(f"{version} has no {'wrong' if True in labels else 'kept'} draws to label",
                        "export a version that has kept draws and, among its rejects, wrong answers")
    if not count and kind is Kind.PAIRS:
        raise DataError(f"{version} gives no pairs by {method!r}: {_NO_PAIRS[method]}",
                        "choose another export.pairs.method, or sample more draws a prompt")
    if not count and kind is Kind.TOKENS:
        raise DataError(f"{version} has no traces of its rows", "export the text, by --kind sft")
    if not count and kind is Kind.QUESTIONS:
        raise DataError(f"{version} has no prompt with a gold answer", "export another kind of rows")


def _record(format_: Format, made: Made, manifest: Manifest, settings: JsonObject, gap: LengthGap | None) -> JsonObject:
    lengths = None if gap is None or not gap.pairs else {
        "mean_difference": gap.characters / gap.pairs, "chosen_longer": gap.chosen_longer / gap.pairs,
        "left_out": gap.left_out}
    return {"format": format_.name, "kind": made.kind.value, "dataset": made.dataset, "version": made.version,
            "config_hash": manifest.config_hash, "code_version": manifest.code_version, "rows": made.rows,
            "files": {name: list(files) for name, files in made.files.items()}, "settings": settings,
            "length_gap": lengths}


def _write_texts(folder: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", errors="replace")
