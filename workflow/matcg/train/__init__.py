"""Fine-tuning a backbone: one run, on one device or several."""
