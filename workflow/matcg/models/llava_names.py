"""Names of a LLaVA's tensors: in LLaVA's own code, in CLIP's, in transformers' class, published."""

import re
from collections.abc import Mapping, Sequence

from matcg.errors import DataError
from matcg.models.shards import Tensor

Renamings = Sequence[tuple[str, str | None]]

EMBEDDING = "language_model.model.embed_tokens.weight"
HEAD = "language_model.lm_head.weight"

# Patterns of whole names, and what they become; None leaves a tensor out: buffers that are computed
# anew, and a separator of tiles, of which checkpoints that use it are refused.
TOWER = "vision_tower.vision_model."
CHECKPOINT: Renamings = (
    (r".*\.rotary_emb\.inv_freq|.*\.position_ids|model\.image_newline", None),
    (r"model\.vision_tower\.(?:vision_tower\.)?(?:vision_model\.)?(.+)", rf"{TOWER}\1"),
    (r"model\.mm_projector\.0\.(.+)", r"multi_modal_projector.linear_1.\1"),
    (r"model\.mm_projector\.2\.(.+)", r"multi_modal_projector.linear_2.\1"),
    (r"model\.((?:embed_tokens|layers|norm)\..+)", r"language_model.model.\1"),
    (r"lm_head\.(.+)", r"language_model.lm_head.\1"),
)
CLIP: Renamings = (
    (r"text_model\..+|(?:text|visual)_projection\.weight|logit_scale|.*\.position_ids", None),
    (r"(?:vision_model\.)?(.+)", rf"{TOWER}\1"),
)
# Names within transformers' class, which its own saving turns back only for weights it has loaded.
CLASS: Renamings = (
    (r"model\.language_model\.(.+)", r"language_model.model.\1"),
    (r"model\.vision_tower\.(.+)", rf"{TOWER}\1"),
    (r"model\.(multi_modal_projector\..+)", r"\1"),
    (r"(lm_head\..+)", r"language_model.\1"),
)


def rename(tensors: Mapping[str, Tensor], names: Renamings) -> tuple[dict[str, Tensor], list[str]]:
    """Return tensors by their new names, and the old names of those that are left out.

    Raises:
        DataError: no pattern fits a tensor, or two get one name.
    """
    found: dict[str, Tensor] = {}
    left_out = []
    for old, tensor in tensors.items():
        new = renamed(old, names)
        if new == "":
            raise DataError(f"{tensor.file}: tensor {old} is of no layout that is known here")
        if new is None:
            left_out.append(old)
        elif new in found:
            raise DataError(f"{tensor.file}: both {found[new].name} and {old} would be {new}")
        else:
            found[new] = tensor
    return found, left_out


def renamed(old: str, names: Renamings) -> str | None:
    """Return a tensor's new name; None where it is left out, "" where no pattern fits."""
    for pattern, new in names:
        if match := re.fullmatch(pattern, old):
            return None if new is None else match.expand(new)
    return ""
