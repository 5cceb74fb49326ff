"""Compositional generalization of multimodal LLMs on medical images: the library."""
