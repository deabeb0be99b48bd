"""The figures of a page of evidence: SVG, the same bytes for the same results."""
