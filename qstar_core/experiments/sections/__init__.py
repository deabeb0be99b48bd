"""The parts of a page of evidence, one kind of study a file."""
