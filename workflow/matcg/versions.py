"""Versions of the steps: Snakemake sees no edits of imported modules, so these say when to rerun.

Raise a step's number when its results change for the same input; it and all below it run again.
"""

PREPARE = 5
LEAKS = 1
LENGTHS = 1
MIX = 2
AUDIT = 2
FINETUNE = 3
PREDICT = 4
GATHER = 1
COMPARE = 8
FIGURES = 6
LEAK_PAIRS = 1
WORLD = 2
REPORT = 8
EXPORT = 2
BACKBONE = 4
CONVERT = 1  # part of what a converted backbone is
PUBLISHED_TEST = 1
