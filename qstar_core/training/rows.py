"""A version or a folder → the rows of a recipe, checked, in a train and a validation split that share no prompt.

Rows are streamed into files of their own; the Arrow table over them is on disk. What cannot be learnt from is refused
with the reason; pairs that say nothing are left out and counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qstar_core.errors import DataError
from qstar_core.plural import counted
from qstar_core.records import JsonObject, Role, content_hash
from qstar_core.selection.draws import order_of
from qstar_core.store.integrity import sha256_file
from qstar_core.training.kinds import Shape

TRAIN, VALIDATION = "train", "validation"
Split = tuple[str, JsonObject]
_TURNS = ("prompt", "completion", "chosen", "rejected")
_COLUMNS = {Shape.COMPLETION: ("prompt", "completion"), Shape.PAIR: ("prompt", "chosen", "rejected"),
            Shape.LABELLED: ("prompt", "completion", "label"), Shape.QUESTION: ("prompt", "solution")}


@dataclass(frozen=True, slots=True)
class Rows:
    """`train` and `validation` are Arrow tables of `datasets`; `sha256` names their content, `version` the dataset
    version they come from; `told` is what a person should know of them."""

    train: Any
    validation: Any | None
    sha256: str
    version: str | None = None
    told: tuple[str, ...] = ()


def arranged(rows: Iterable[Split], shape: Shape, validation: float, seed: int, folder: Path, source: str,
             version: str | None = None) -> Rows:
    """`rows` are (split, row). Where none is in the validation split, `validation` of the prompts are put there."""
    counts, labels, same = {TRAIN: 0, VALIDATION: 0}, set[bool](), 0
    paths = {name: folder / f"{name}.jsonl" for name in counts}
    home: dict[str, str] = {}
    given = False
    files = {name: path.open("w", encoding="utf-8") for name, path in paths.items()}
    try:
        for name, row in rows:
            if shape is Shape.PAIR and row["chosen"] == row["rejected"]:
                same += 1
                continue
            prompt = content_hash(row["input_ids"][:row["prompt_length"]] if shape is Shape.TRACED else row["prompt"])
            given = given or name == VALIDATION
            if not given and validation:
                name = VALIDATION if order_of(seed, "split", prompt) / 2**56 < validation else TRAIN
            if home.setdefault(prompt[:24], name) != name:
                raise DataError(f"{source} has a prompt in both splits: {_shown(row)}", "split it by prompts")
            if shape is Shape.LABELLED:
                labels.add(row["label"])
            counts[name] += 1
            files[name].write(json.dumps(row, allow_nan=False) + "\n")
    finally:
        for file in files.values():
            file.close()
    _check(counts, labels, same, shape, source)
    told = [counted(counts[TRAIN], "row") + (f", {counts[VALIDATION]} for validation" if counts[VALIDATION] else "")]
    told += [f"{counted(same, 'pair')} left out: chosen and rejected are the same"] if same else []
    tables = {name: _table(path, folder) if counts[name] else None for name, path in paths.items()}
    return Rows(tables[TRAIN], tables[VALIDATION], content_hash([sha256_file(path) for path in paths.values()]),
                version, tuple(told))


def folder_rows(folder: Path, shape: Shape) -> Iterator[Split]:
    """JSON lines as `qstar export --to trl-…` writes them: `train/` and `validation/`, or files of one split."""
    if shape is Shape.TRACED:
        raise DataError(f"{folder} has no traces", "give a dataset version; traces are in no export")
    splits = {name: sorted({*folder.glob(f"{name}/*.jsonl"), *folder.glob(f"{name}*.jsonl")})
              for name in (TRAIN, VALIDATION)}
    if not splits[TRAIN]:
        splits[TRAIN] = sorted(set(folder.glob("*.jsonl")) - set(splits[VALIDATION]))
    if not splits[TRAIN]:
        raise DataError(f"{folder} has no .jsonl file", "give a dataset version or a folder that `qstar export` wrote")
    for name, paths in splits.items():
        for path in paths:
            with path.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield name, _read(line, shape, f"{path}, line {number}")


def _read(line: bytes, shape: Shape, where: str) -> JsonObject:
    """The row with the columns of its shape and no others."""
    try:
        row = json.loads(line.decode("utf-8"))
        json.dumps(row, ensure_ascii=False).encode("utf-8")  # half a character (a lone surrogate) has no place in Arrow
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON in UTF-8: {error}", "mend the line") from None
    if isinstance(row, dict) and shape is Shape.COMPLETION and "prompt" not in row and row.get("messages"):
        row = {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]}
    lacking = [name for name in _COLUMNS[shape] if not isinstance(row, dict) or name not in row]
    if lacking:
        raise DataError(f"{where} has no {lacking[0]!r}", f"this recipe reads the columns {shape.value}")
    found = {name: row[name] for name in _COLUMNS[shape]}
    for name in _TURNS:
        if name in found and not _is_turns(found[name]):
            raise DataError(f"{where}: {name} is no list of messages", "write [{role, content}, …], with one at least")
        if name in found and (found[name][0]["role"] == Role.ASSISTANT) != (name != "prompt"):
            raise DataError(f"{where}: {name} begins with a message of the role {found[name][0]['role']!r:.40}",
                            "a prompt begins with system or user, what is learnt with assistant")
    if shape is Shape.LABELLED and not isinstance(found["label"], bool):
        raise DataError(f"{where}: label is {found['label']!r:.40}", "write true or false")
    if shape is Shape.QUESTION and not isinstance(found["solution"], str):
        raise DataError(f"{where}: solution is {found['solution']!r:.40}", "write the gold answer as text")
    return found


def _is_turns(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(
        isinstance(turn, dict) and turn.get("role") in set(Role) and isinstance(turn.get("content"), str)
        for turn in value)


def _check(counts: dict[str, int], labels: set[bool], same: int, shape: Shape, source: str) -> None:
    if not sum(counts.values()):
        raise DataError(f"{source} has no rows to learn from"
                        + (": every chosen text is the rejected one" if same else ""), "give data with rows")
    if not counts[TRAIN]:
        raise DataError("the validation split took every prompt", "lower training.validation")
    if shape is Shape.LABELLED and len(labels) < 2:
        raise DataError(f"{source} has {'good' if True in labels else 'bad'} completions only",
                        "KTO compares good with bad ones: give both, or train with sft")


def _shown(row: JsonObject) -> str:
    prompt = row.get("prompt")
    return f"{prompt[-1]['content']!r:.80}" if prompt else "a traced row"


def _table(path: Path, folder: Path) -> Any:
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()  # the command line has one of its own
    return Dataset.from_json(str(path), cache_dir=str(folder / "arrow"))
