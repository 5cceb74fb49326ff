"""From source files to canonical samples, splits, mixes and leak audits."""
