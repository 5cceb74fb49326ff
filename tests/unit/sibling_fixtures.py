"""The shipped backbones' files with tiny siblings in place of their weights, and questions."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from data_makers import sample
from matcg.config.backbone import Backbone
from matcg.config.library import load
from matcg.forms.choice import OPTION_LETTERS
from matcg.models.loading import load_model
from matcg.models.prompts import single_tokens
from matcg.samples import Sample
from matcg.tiny.siblings import make_sibling
from matcg.train.batches import Collator, Pictures

ROOT = Path(__file__).parents[2]
# What has commands of its own is of no architecture that the libraries know.
NAMES = [
    path.stem
    for path in sorted((ROOT / "backbones").glob("*.yaml"))
    if load("backbone", path).commands is None
]
OPTIONS = ("a cyst", "no cyst", "a scar", "nothing that one could name")

CPU = torch.device("cpu")

Siblings = Callable[[str], Backbone]


@pytest.fixture(scope="session")
def siblings(tmp_path_factory: pytest.TempPathFactory) -> Siblings:
    """Return a function that gives a shipped backbone, by name, with its sibling's weights."""
    torch.set_num_threads(1)
    made: dict[str, Backbone] = {}

    def get(name: str) -> Backbone:
        if name not in made:
            backbone = load("backbone", ROOT / "backbones" / f"{name}.yaml")
            made[name] = make_sibling(backbone, tmp_path_factory.mktemp("siblings") / name)
        return made[name]

    return get


def start(backbone: Backbone, weights: Path | None = None) -> tuple[torch.nn.Module, Collator]:
    """Return a backbone's model, ready to answer, and a reader for it."""
    model, processor = load_model(str(weights or backbone.weights), backbone)
    letters = single_tokens(processor.tokenizer, backbone, OPTION_LETTERS)
    return model.eval(), Collator(processor, backbone, letters, CPU, Pictures(backbone))


def parts(model: torch.nn.Module, backbone: Backbone) -> dict[str, set[str]]:
    """Return the names of each part's parameters, as the model's own modules have them."""
    kind = str(backbone.architecture).split("/")[0]
    roots = {
        "llava": ("vision_tower", "multi_modal_projector"),
        "mllama": ("vision_model", "multi_modal_projector"),
        "qwen3_vl": ("visual", "visual.merger", "visual.deepstack_merger_list"),
    }
    tower, *projectors = roots.get(kind, ("visual", "visual.merger"))

    def below(*modules: str) -> set[str]:
        names = [name for name, _ in model.named_parameters()]
        return {name for name in names if name.startswith(tuple(f"model.{m}." for m in modules))}

    projector = below(*projectors)
    llm = below("language_model") | {"lm_head.weight"}
    return {"llm": llm, "projector": projector, "tower": below(tower) - projector}


def questions(count: int) -> list[Sample]:
    """Return questions of two to four options, each on a wide picture of its own."""
    found = []
    for number in range(count):
        options = OPTIONS[: 2 + number % 3]
        label = options[number % len(options)]
        found.append(sample(number, label, options=options, image=stripes(number)))
    return found


def stripes(number: int) -> bytes:
    """Return a picture that is wider than high, with other stripes for another number."""
    image = Image.new("RGB", (40, 24), (40 + 20 * number % 200, 90, 160))
    for stripe in range(number % 5 + 1):
        image.paste((250, 250 - 30 * stripe, 40 * stripe), (8 * stripe, stripe, 8 * stripe + 4, 20))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
