"""Libraries that come along say nothing that a user cannot act on."""

from __future__ import annotations

import logging

import qstar_core.engine.adapter  # noqa: F401 — brings PEFT, and bitsandbytes where it is installed


def test_bitsandbytes_asks_for_no_package_and_may_still_tell_errors() -> None:
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    assert not logger.isEnabledFor(logging.WARNING) and logger.isEnabledFor(logging.ERROR)
