"""Tiny models: how the shipped backbone was made, and siblings of the real ones for tests."""
