"""A dataset of the hub, or a folder laid out like one, streamed by the `datasets` library. It never runs code of a
dataset: that library has no scripts any more, and nothing here allows remote code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qstar_core.config import SourceSettings
from qstar_core.errors import DataError
from qstar_core.sources.readers.row import Row


def read_hub(settings: SourceSettings) -> Iterator[Row]:
    import datasets
    import pyarrow as pa

    try:
        rows: Any = datasets.load_dataset(settings.path, settings.subset, split=settings.split,
                                          revision=settings.revision, streaming=True)
        for index, values in enumerate(rows):
            yield Row(index, dict(values))
    except (OSError, TypeError, ValueError, KeyError, RuntimeError, datasets.exceptions.DatasetsError,
            pa.ArrowException) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"cannot read {settings.path}: {reason}",
                        "check source.path, source.subset and source.split") from None
