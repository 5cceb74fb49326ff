"""Fine-tuning a backbone: one run, on one device or several."""

import os

# Read when torch is imported, which the modules here do: parts of a batch differ in shape, and
# memory of a GPU would otherwise break into pieces that none of them fits.
if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
