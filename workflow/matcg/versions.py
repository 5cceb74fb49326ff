"""Versions of the steps: Snakemake sees no edits of imported modules, so these say when to rerun.

Raise a step's number when its results change for the same input; it and all below it run again.
"""

PREPARE = 3
LEAKS = 1
MIX = 1
AUDIT = 2
FINETUNE = 1
PREDICT = 2
COMPARE = 4
FIGURES = 3
LEAK_PAIRS = 1
WORLD = 2
REPORT = 4
BACKBONE = 2
PUBLISHED_TEST = 1
