"""Typed, closed models of every YAML file a user writes: one module a kind of file."""
