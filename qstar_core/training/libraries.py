"""TRL, imported when training begins: it takes seconds, reports usage to the hub unless told not to, and warns of every
trainer that it may still change.
"""

from __future__ import annotations

import logging
import os


def prepare() -> None:
    """Once before the first trainer is built."""
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_TELEMETRY = True
    import trl  # noqa: F401 — now, so that what follows holds for it
    from datasets import disable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # the command line has one of its own
    disable_progress_bars()
    for name in ("trl", "accelerate"):
        logging.getLogger(name).setLevel(logging.ERROR)
