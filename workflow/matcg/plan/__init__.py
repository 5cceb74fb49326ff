"""From a config to every mix, run and evaluation, and what is said of a plan."""
