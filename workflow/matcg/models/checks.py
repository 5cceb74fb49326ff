"""What a backbone's processor makes of prompt and picture, checked before anything is trained.

A prompt that begins twice, or a picture that is resized or cropped once more, trains and answers
without any error, and worse.
"""

from typing import Any

from PIL import Image, ImageDraw
from torch import Tensor

from matcg.config.backbone import Backbone
from matcg.errors import ConfigError
from matcg.models.prompts import begins_itself


def check_architecture(config: Any, backbone: Backbone) -> None:
    """Check that weights are of the class that the backbone's file says.

    Raises:
        ConfigError: their configuration is another's.
    """
    said = backbone.architecture
    text = getattr(config, "text_config", None)
    found = f"{config.model_type}/{getattr(text, 'model_type', '')}"
    if said and said not in (config.model_type, found):
        raise ConfigError(
            f"backbone {backbone.name}: architecture: is '{said}', but its weights are"
            f" {found}; change one of the two"
        )


def check_processor(processor: Any, backbone: Backbone) -> None:
    """Check that a prompt holds one picture and begins once, and that the picture stays whole.

    Raises:
        ConfigError: one of these does not hold.
    """
    where = f"backbone {backbone.name}"
    if backbone.prompt.count(processor.image_token) != 1:
        raise ConfigError(
            f"{where}: prompt: must hold the picture's token {processor.image_token} once"
        )
    edge = backbone.image.size
    tokenizer = processor.tokenizer
    inputs = processor(
        text=[backbone.prompt],
        images=[[_frame(edge)]],
        add_special_tokens=not begins_itself(tokenizer, backbone),
        return_tensors="pt",
    )
    if inputs["input_ids"][0].tolist().count(tokenizer.bos_token_id) > 1:
        raise ConfigError(
            f"{where}: prompt: would begin twice with {tokenizer.bos_token}; write it in front"
        )
    if not _whole(inputs["pixel_values"], edge):
        raise ConfigError(
            f"{where}: image: its processor resizes or crops a square of {edge} pixels;"
            f" {_advice(processor.image_processor)}"
        )


def follows_template(processor: Any, backbone: Backbone) -> bool | None:
    """Return whether the prompt is what the processor's own chat template makes; None without one.

    Another prompt is allowed, since fine-tuning learns it, and said on the way.
    """
    if not getattr(processor, "chat_template", None):
        return None
    content = [{"type": "image"}, {"type": "text", "text": "{question}"}]
    made = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    same = bool(made == backbone.prompt)
    if not same:
        print(
            f"backbone {backbone.name}: its prompt is {backbone.prompt!r}, the processor's chat"
            f" template would make {made!r}",
            flush=True,
        )
    return same


def _frame(edge: int) -> Image.Image:
    """Return a black square with a white line of one pixel along its edges."""
    picture = Image.new("RGB", (edge, edge))
    ImageDraw.Draw(picture).rectangle((0, 0, edge - 1, edge - 1), outline=(255, 255, 255))
    return picture


def _whole(values: Tensor, edge: int) -> bool:
    """Return whether the frame has its share of the pixels, in whatever order or number of copies.

    Black is normalised to below zero, white to above it; what is exactly zero fills empty tiles.
    """
    white, used = int((values > 0).sum()), int((values != 0).sum())
    return white * edge**2 == used * 4 * (edge - 1)


def _advice(pixels: Any) -> str:
    """Return which sizes an image processor leaves as they are."""
    if hasattr(pixels, "merge_size"):
        return f"set `size` to a multiple of {pixels.patch_size * pixels.merge_size}"
    size = dict(pixels.crop_size if getattr(pixels, "do_center_crop", False) else pixels.size)
    return f"set `size` to {size.get('height') or size.get('shortest_edge')}"
