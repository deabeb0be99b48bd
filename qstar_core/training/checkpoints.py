"""Checkpoints as training knows them; they live in `qstar_core.checkpoints`, because models are found by them too."""

from qstar_core.checkpoints import fetch_checkpoint, list_checkpoints, read_checkpoint, save_checkpoint

__all__ = ["fetch_checkpoint", "list_checkpoints", "read_checkpoint", "save_checkpoint"]
