"""Prefect flows and the `qstar` command."""
