"""From the records of cells to estimates with intervals: pure functions of the records, the same numbers every time."""
