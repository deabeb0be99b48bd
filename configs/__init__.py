"""Ready settings, by file name. `qstar refresh --config NAME` finds them here."""
