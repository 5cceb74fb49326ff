"""Shapes: visibly what their words say, and nothing of the phantom world in them."""

import ast
from pathlib import Path

import numpy as np
import pytest

import matcg
from matcg.config.library import load
from matcg.forms.choice import OPTION_LETTERS
from matcg.images import decode
from matcg.phantom.world import TASKS, generate
from matcg.tiny.shapes import ATTRIBUTES, POINTING, SIDE, boxes_of, draw_shapes, paint

SOURCE = Path(matcg.__file__).parent
ROOT = Path(__file__).parents[3]
N = 1600


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(1)
    parts = [draw_shapes(rng, 100) for _ in range(N // 100)]  # larger arrays take longer
    images = np.concatenate([images for images, _, _ in parts])
    return images, {n: np.concatenate([values[n] for _, values, _ in parts]) for n in ATTRIBUTES}


def words(texts):
    """Return all words of some texts."""
    return {word for text in texts for word in "".join(map(spaced, text)).split()}


def spaced(character):
    return character.lower() if character.isalpha() else " "


@pytest.fixture(scope="module")
def painted(drawn):
    """Return how much brighter each form makes an even ground, and the words of it."""
    _, values = drawn
    ground = np.full((N, SIDE, SIDE), 0.5)
    picture, _ = paint(np.random.default_rng(2), values, ground)
    return picture - ground, values


def forms(painted, **wanted):
    """Return the mean picture of chosen words: pale forms less dark ones."""
    change, values = painted
    chosen = values["presence"] == 0
    for name, word in wanted.items():
        chosen &= values[name] == ATTRIBUTES[name].words.index(word)
    return np.abs(change[chosen]).mean(axis=0)


def differences(drawn, **wanted):
    """Return the mean drawing of chosen words, pale forms less dark ones: clutter cancels out."""
    images, values = drawn
    chosen = values["presence"] == 0
    for name, word in wanted.items():
        chosen &= values[name] == ATTRIBUTES[name].words.index(word)
    relative = images - np.median(images, axis=(1, 2), keepdims=True)
    pale = relative[chosen & (values["shade"] == 0)].mean(axis=0)
    return pale - relative[chosen & (values["shade"] == 1)].mean(axis=0)


def test_pictures_are_grey_squares_with_all_words_in_use(drawn):
    images, values = drawn
    assert images.shape == (N, SIDE, SIDE)
    assert images.dtype == np.uint8
    assert set(values) == set(ATTRIBUTES)
    for name, attribute in ATTRIBUTES.items():
        shares = np.bincount(values[name]) / N
        assert len(shares) == len(attribute.words) <= len(OPTION_LETTERS)
        expected = (0.85, 0.15) if name == "presence" else 1 / len(shares)
        assert shares == pytest.approx(np.broadcast_to(expected, len(shares)), abs=0.04)


def test_pale_forms_are_brighter_than_their_ground_and_dark_ones_darker(painted):
    change, values = painted
    lightest, darkest = change.max(axis=(1, 2)), change.min(axis=(1, 2))
    present = values["presence"] == 0
    assert (change[~present] == 0).all()
    assert (lightest[present & (values["shade"] == 0)] > 0.15).all()
    assert (darkest[present & (values["shade"] == 1)] < -0.15).all()
    assert (change[values["shade"] == 0] >= 0).all()
    assert (change[values["shade"] == 1] <= 0).all()


@pytest.mark.parametrize(
    ("name", "first", "second", "axis"),
    [("column", "west", "east", 1), ("row", "north", "south", 0)],
)
def test_places_are_where_their_words_say(drawn, painted, name, first, second, axis):
    for word, side in ((first, 0), (second, 1)):
        halves = np.split(differences(drawn, **{name: word}), 2, axis=axis)
        assert halves[side].mean() > halves[1 - side].mean() + 10
        halves = np.split(forms(painted, **{name: word}), 2, axis=axis)
        assert halves[side].mean() > 5 * halves[1 - side].mean()


def test_scales_grow_with_their_words(painted):
    tiny, medium, huge = (forms(painted, scale=word).mean() for word in ATTRIBUTES["scale"].words)
    assert 0 < 1.5 * tiny < medium < huge / 1.5


def test_forms_fill_what_their_words_say(painted):
    mass = {word: forms(painted, form=word).mean() for word in ATTRIBUTES["form"].words}
    assert mass["disc"] > mass["ring"] > 1.1 * mass["bar"]
    assert mass["disc"] > mass["cross"] > 1.1 * mass["bar"]


def test_nothing_leaves_the_ground_alone(drawn):
    images, values = drawn
    spread = images.std(axis=(1, 2))
    shown, bare = (spread[values["presence"] == word].mean() for word in (0, 1))
    assert shown > 1.1 * bare


def test_boxes_cover_what_changed_and_touch_it_on_all_sides(drawn):
    _, values = drawn
    ground = np.full((N, SIDE, SIDE), 0.5)
    picture, soft = paint(np.random.default_rng(2), values, ground)
    masks = soft >= 0.5
    assert (masks.any(axis=(1, 2)) == (values["presence"] == 0)).all()
    for change, mask, (x1, y1, x2, y2) in zip(
        picture - ground, masks, boxes_of(masks), strict=True
    ):
        if not mask.any():
            assert (x1, y1, x2, y2) == (0, 0, 0, 0)
            continue
        assert mask[y1:y2, x1:x2].sum() == mask.sum()
        edges = (mask[y1, x1:x2], mask[y2 - 1, x1:x2], mask[y1:y2, x1], mask[y1:y2, x2 - 1])
        assert all(edge.any() for edge in edges)
        assert np.abs(change[mask]).min() > np.abs(change[~mask]).max(initial=0)


def test_the_seed_decides_every_pixel_and_word():
    first, again, other = (draw_shapes(np.random.default_rng(seed), 20) for seed in (3, 3, 4))
    assert first[0].tobytes() == again[0].tobytes()
    assert all((first[1][name] == again[1][name]).all() for name in ATTRIBUTES)
    assert (first[2] == again[2]).all()
    assert not (first[0] == other[0]).all(axis=(1, 2)).any()


def test_no_word_or_question_is_of_the_phantom_world():
    labels = words(label for task in TASKS.values() for label in task.labels)
    asked = words(question for task in TASKS.values() for question in task.questions)
    answers = words(word for a in ATTRIBUTES.values() for word in a.words)
    questions = words(question for a in ATTRIBUTES.values() for question in a.questions)
    assert len(labels) == 12
    assert not words(POINTING) & asked
    assert not labels & (answers | questions)
    assert not answers & asked
    ours = {question for a in ATTRIBUTES.values() for question in a.questions}
    theirs = {question for task in TASKS.values() for question in task.questions}
    assert not ours & theirs
    assert not [label for label in labels for question in ours if label in question.lower()]


def test_no_shape_is_a_phantom_picture(drawn):
    catalog = load("catalog", ROOT / "catalogs" / "phantom.yaml")
    images = drawn[0][:200].reshape(200, -1).astype(np.float32)
    for subset in catalog.subsets:
        for sample in generate(subset, {"seed": 0}, "train", 2):
            picture = decode(sample.image, sample.sample_id).convert("L")
            pixels = np.asarray(picture, dtype=np.float32).reshape(-1)
            assert pixels.size == SIDE * SIDE
            assert np.abs(images - pixels).mean(axis=1).min() > 8, sample.sample_id


def imported(module):
    """Return the modules of this library that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse((SOURCE / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        paths = [
            name.replace(".", "/").removeprefix("matcg/") for name in names if name[:5] == "matcg"
        ]
        found |= {f"{path}.py" for path in paths if (SOURCE / f"{path}.py").is_file()}
        found |= {f"{path}/__init__.py" for path in paths if (SOURCE / path).is_dir()}
    return found


def test_training_knows_nothing_of_the_phantom_world():
    todo = {
        f"{room}/{file.name}" for room in ("train", "tiny") for file in (SOURCE / room).glob("*.py")
    }
    assert {"tiny/shapes.py", "tiny/make.py", "train/finetune.py"} <= todo
    seen = set()
    while todo:
        seen |= todo
        todo = set().union(*map(imported, todo)) - seen
    assert "samples.py" in seen
    assert not [module for module in seen if module.startswith("phantom")]
