"""GPUs of one machine, and what a Slurm site and its partitions can give."""
