"""The report in one file."""
