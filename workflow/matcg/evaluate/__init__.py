"""Answers of fine-tuned models, by letter, through vLLM."""
