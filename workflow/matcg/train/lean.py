"""Keeps out of a process of transformers what it imports for others' models, and no job here uses.

With any model class come the losses of all others (scipy), a client for asynchronous downloads
(trio) and tensors over several devices. transformers asks once a process whether a package is
there, keeps the answer, and can do without.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from matcg.config.backbone import Backbone, Recipe

UNUSED = ("scipy", "sklearn", "trio")
# What torch, transformers and pyarrow import once a run is under way.
LATER = (
    *("torch._dynamo", "transformers.models.auto.modeling_auto", "pandas", "scipy.sparse"),
    *("pyarrow.dataset", "transformers.models.auto.processing_auto"),
    "transformers.tokenization_mistral_common",
)


def spare_imports(alone: bool = True) -> None:
    """Let transformers find that the packages are not there, unless it is imported already.

    And what torch has for several processes, for one that is alone and shards nothing.
    """
    if "transformers" in sys.modules:
        return
    with _hidden(alone):
        from transformers.utils import import_utils

        import_utils.is_scipy_available()
        import_utils.is_sklearn_available()
        import_utils.is_torch_distributed_available()


def fits(backbone: Backbone, recipe: Recipe) -> bool:
    """Return whether a run on a CPU needs no more than `import_all` imports."""
    return not backbone.commands and (backbone.dtype == "float32" or recipe.method == "lora")


def import_all() -> None:
    """Import what a run of one process needs, for many that are forks of this one."""
    torch.set_num_threads(1)  # others would be missing in a fork
    spare_imports()
    for name in LATER:
        importlib.import_module(name)


@contextmanager
def _hidden(alone: bool) -> Iterator[None]:
    """Make imports of the packages fail while the body runs; what is imported already stays."""
    known = {name: sys.modules[name] for name in UNUSED if name in sys.modules}
    available = torch.distributed.is_available
    sys.modules.update(dict.fromkeys(UNUSED))  # type: ignore[arg-type]  # None: as if not there
    torch.distributed.is_available = lambda: available() and not alone
    try:
        yield
    finally:
        torch.distributed.is_available = available
        for name in UNUSED:
            del sys.modules[name]
        sys.modules.update(known)
