"""Making the tiny backbone and fine-tuning any backbone."""
