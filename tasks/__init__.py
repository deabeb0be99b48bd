"""Prefect tasks: a name, a retry policy, and one call into the core. They hand each other references, not data."""
