"""Questions asked of fine-tuned models, and their answers."""
