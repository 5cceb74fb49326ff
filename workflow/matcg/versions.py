"""Versions of the steps: Snakemake sees no edits of imported modules, so these say when to rerun.

Raise a step's number when its results change for the same input; it and all below it run again.
"""

PREPARE = 2
MIX = 1
AUDIT = 1
FINETUNE = 1
PREDICT = 1
COMPARE = 2
FIGURES = 2
WORLD = 2
REPORT = 2
BACKBONE = 2
