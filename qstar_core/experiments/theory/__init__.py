"""The claims of the theory, held against float64 arithmetic that shares no code with the solvers."""
