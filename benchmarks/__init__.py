"""Benchmarks: `make bench NAME=demo` runs one, writes its rows into RESULTS.md, and prints a RESULT line per goal."""
