"""A synthetic medical world whose truth is known."""
