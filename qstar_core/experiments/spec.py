"""A spec: the studies of one run, as data. A file, or a packaged one by name. Whatever is wrong with it ends in one
line that names the key and the fix.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from qstar_core.configload import read_yaml, shown
from qstar_core.errors import ConfigError
from qstar_core.experiments.arms import HERE
from qstar_core.experiments.grid import Arm, GridStudy, Pool, Sizes
from qstar_core.experiments.speculation.settings import CostPair, SpeculationStudy
from qstar_core.experiments.study import StudySettings, Title
from qstar_core.experiments.theory.settings import Sharpness, TheoryStudy
from qstar_core.records import JsonObject
from qstar_core.section import Name, Section

MOST_CELLS = 20_000  # of a spec: more would take weeks, and the memory of a machine only to be named

# Another kind joins here and in kinds.KINDS.
Study = Annotated[GridStudy | TheoryStudy | SpeculationStudy, Field(discriminator="kind")]
_STUDIES: tuple[type[StudySettings], ...] = (GridStudy, TheoryStudy, SpeculationStudy)
_PARTS: tuple[type[Section], ...] = (*_STUDIES, Arm, Sizes, Pool, CostPair, Sharpness)


class Spec(Section):
    name: Name = Field(description="Name of the spec; its results are written under it")
    title: Title = Field("", description="What it asks, in a line")
    include: tuple[str, ...] = Field((), description="Specs whose studies come before its own: files beside it, or "
                                                     "packaged ones by name")
    studies: tuple[Study, ...] = Field((), description="The studies, in the order of the report")

    @model_validator(mode="after")
    def _apart(self) -> Spec:
        names = [study.name for study in self.studies]
        if not names and not self.include:
            raise ValueError("a spec has one study at least")
        if len(set(names)) < len(names):
            raise ValueError(f"two studies have one name: {', '.join(names)}")
        grids = [study for study in self.studies if isinstance(study, GridStudy)]
        cells = sum(study.cells for study in grids)
        if cells > MOST_CELLS:
            largest = max(grids, key=lambda study: study.cells)
            raise ValueError(f"its {cells:,} cells are more than {MOST_CELLS:,}, which is the most; the study "
                             f"{largest.name} has {largest.cells:,}: {largest.dimensions}")
        return self


def ready_specs() -> tuple[str, ...]:
    """The packaged ones, by name."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def load_spec(given: str) -> Spec:
    """A file of that path, else the packaged spec of that name."""
    path = _file_of(given)
    return spec_of(read_yaml(path), str(path))


def _file_of(given: str, beside: Path = Path()) -> Path:
    path = beside / given
    if given in ready_specs() and not path.is_file():
        path = _folder() / f"{given}.yaml"
    try:
        there = path.is_file()
    except OSError:  # no name of a file, being too long
        there = False
    if not there:
        raise ConfigError(f"there is no spec {given!r:.200}", f"give a YAML file, or one of {', '.join(ready_specs())}")
    return path


def spec_of(values: JsonObject, where: str) -> Spec:
    """With the studies that it includes."""
    spec = _validated(values, where)
    studies = [study for name in spec.include for study in _included(name, where).studies]
    return _validated(spec.model_dump() | {"include": (), "studies": (*studies, *spec.studies)}, where)


def _validated(values: JsonObject, where: str) -> Spec:
    try:
        return Spec.model_validate(values)
    except ValidationError as error:
        raise ConfigError(*_explain(error, where)) from None


def _included(name: str, where: str) -> Spec:
    """A file is looked for beside the one that includes it."""
    path = _file_of(name, Path(where).parent)
    spec = _validated(read_yaml(path), str(path))
    if spec.include:
        raise ConfigError(f"{where}: {name} includes others itself", "include those that have studies of their own")
    return spec


def _folder() -> Path:
    return HERE / "specs"


def _explain(error: ValidationError, where: str) -> tuple[str, str]:
    """The first mistake, in the words of the file."""
    first: Any = error.errors()[0]
    key = ".".join(_keys(first["loc"]))
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        names = sorted({*Spec.model_fields, *(name for part in _PARTS for name in part.model_fields)})
        close = difflib.get_close_matches(key.rpartition(".")[2], names, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else "docs/experiments.md lists what a spec may say"
        return f"{where}: unknown key {key} = {shown(first['input'])}{more}", hint
    if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        named = first["input"].get("kind") if isinstance(first["input"], dict) else None
        value = " is missing" if named is None else f" = {shown(named)} is wrong"
        return f"{where}: {key}.kind{value}{more}", f"use one of {', '.join(_kinds())}"
    if first["type"] == "missing":
        return f"{where}: {key} is missing{more}", "give it a value"
    expected = str(first["msg"]).removeprefix("Value error, ")
    value = "" if isinstance(first["input"], dict | list) else f" = {shown(first['input'])}"
    return f"{where}: {key or 'the spec'}{value} is wrong{more}", expected


def _keys(place: tuple[int | str, ...]) -> Iterator[str]:
    """Without the names of the kinds, which pydantic puts after the number of a study."""
    for index, part in enumerate(place):
        if index != 2 or part not in _kinds():
            yield str(part)


def _kinds() -> tuple[str, ...]:
    return tuple(study.model_fields["kind"].default for study in _STUDIES)
