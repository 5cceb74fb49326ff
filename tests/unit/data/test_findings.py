"""Boxes and masks: one thing in every format is one thing, and what cannot be is set aside."""

import io
import json
import re
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco

from data_makers import asked, picture, spec
from matcg.config.catalog import Split
from matcg.config.library import load
from matcg.data import readers
from matcg.data.findings import run_lengths
from matcg.data.images_present import NO_QUESTIONS, check_images
from matcg.data.prepare import prepare
from matcg.errors import BadRowError, ConfigError, DataError
from matcg.samples import read_samples

W, H = 23, 17  # of every picture
BCCD = Path(__file__).parents[2] / "data" / "bccd"


def png(values, mode=None) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(values, dtype=np.uint8), mode).save(buffer, "PNG")
    return buffer.getvalue()


def put(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, held in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(held.encode() if isinstance(held, str) else held)
    return root


def read(root, reader, kind="detection", datasets=("7",), **options):
    """Return the samples of a subset by the names of their pictures, and the rows set aside."""
    subset = spec("s", kind=kind, datasets=datasets)
    found = readers.get(reader).source(subset, options, root, Split())
    assert found.rows == len(found.pool) + len(found.quarantined)
    samples = map(found.load, range(len(found.pool)))
    return {Path(each.origin).stem: each for each in samples}, found.quarantined


def square(box) -> np.ndarray:
    x1, y1, x2, y2 = box
    mask = np.zeros((H, W), dtype=np.uint8)
    mask[y1:y2, x1:x2] = 1
    return mask


def voc(name: str, corners, label: str = "cell") -> str:
    keys = ("xmin", "ymin", "xmax", "ymax")
    box = "".join(f"<{key}>{at}</{key}>" for key, at in zip(keys, corners, strict=True))
    found = f"<object><name>{label}</name><bndbox>{box}</bndbox></object>" if label else ""
    return f"<annotation><filename>{name}</filename>{found}</annotation>"


def coco_json(annotation, images=("a.png", "b.png")) -> str:
    return json.dumps(
        {
            "images": [{"id": n, "file_name": name} for n, name in enumerate(images)],
            "annotations": [{"image_id": 0, "category_id": 3, **each} for each in annotation],
            "categories": [{"id": 3, "name": "cell"}, {"id": 4, "name": "dust"}],
        }
    )


def table(header: str, *rows: str) -> bytes:
    return "\n".join([header, *rows]).encode()


def parquet(data: bytes) -> bytes:
    buffer = io.BytesIO()
    pd.read_csv(io.BytesIO(data)).to_parquet(buffer)
    return buffer.getvalue()


def siim(mask: np.ndarray) -> str:
    """Return run lengths as SIIM's competition counts them, pixel by pixel."""
    runs, ground = [], 0
    for value in [*mask.T.ravel().tolist(), 0]:
        if value and ground is not None:
            runs, ground = [*runs, ground, 0], None
        if value:
            runs[-1] += 1
        else:
            ground = (ground or 0) + 1
    return " ".join(map(str, runs))


def in_every_format(box) -> dict[str, tuple[str, dict, dict[str, bytes | str]]]:
    """Return the reader, options and files of one box of a cell in each format.

    Picture a has it, picture b has nothing.
    """
    x1, y1, x2, y2 = box
    w, h, mask = x2 - x1, y2 - y1, square(box)
    runs = coco.encode(np.asfortranarray(mask))
    plain = [int(n) for n in siim(mask).split()]
    plain.append(W * H - sum(plain))
    ring = [x1, y1, x2, y1, x2, y2, x1, y2]
    named = {"classes": {"1": "cell"}}
    centre = ((x1 + x2) / 2 / W, (y1 + y2) / 2 / H, w / W, h / H)
    line = "1 " + " ".join(f"{each:.6f}" for each in centre)
    edges = table("image,label,x1,y1,x2,y2", f"a.png,cell,{x1},{y1},{x2},{y2}", "b.png,,,,,")
    sizes = table("file,kind,left,top,w,h", f"a.png,cell,{x1},{y1},{w},{h}", "b.png,none,,,,")
    lengths = table("ImageId,EncodedPixels", f"a,{siim(mask)}", "b,-1")
    colours = mask[..., None] * np.array([9, 200, 30])
    folder = {"images": "i/{image}.*"}
    masks = {**folder, "files": "m/{image}_m.png", **named}
    many = {"files": "c.json", "images": "i/{image}"}
    columns = {"image": "file", "label": "kind", "x": "left", "y": "top"}
    size = {"size": [H, W]}
    empty = png(0 * mask)
    return {
        "coco box": ("coco", many, {"c.json": coco_json([{"bbox": [x1, y1, w, h]}])}),
        "polygon": ("coco", many, {"c.json": coco_json([{"segmentation": [ring]}])}),
        "run lengths": (
            "coco",
            many,
            {"c.json": coco_json([{"segmentation": {**size, "counts": plain}}])},
        ),
        "compressed": (
            "coco",
            many,
            {"c.json": coco_json([{"segmentation": {**size, "counts": runs["counts"].decode()}}])},
        ),
        "voc": (
            "voc",
            {"files": "x/*.xml", "images": "i/{image}"},
            {"x/1.xml": voc("a.png", (x1 + 1, y1 + 1, x2, y2)), "x/2.xml": voc("b.png", box, "")},
        ),
        "voc edges": (
            "voc",
            {"files": "x/*.xml", "images": "i/{image}", "corners": "exclusive"},
            {"x/1.xml": voc("a.png", box), "x/2.xml": voc("b.png", box, "")},
        ),
        "yolo": ("yolo", {**folder, "files": "l/{image}.txt", **named}, {"l/a.txt": line}),
        "yolo names": (
            "yolo",
            {**folder, "files": "l/{image}.txt", "names": "n.yaml"},
            {"l/a.txt": line, "l/b.txt": "\n", "n.yaml": "names: {0: dust, 1: cell}"},
        ),
        "csv": ("table", {"files": "t.csv", "images": "i/{image}"}, {"t.csv": edges}),
        "parquet": (
            "table",
            {"files": "t.parquet", "images": "i/{image}", "columns": columns},
            {"t.parquet": parquet(sizes)},
        ),
        "siim": (
            "table",
            {
                "files": "t.csv",
                "images": "i/{image}.png",
                "columns": {"image": "ImageId", "runs": "EncodedPixels"},
                **named,
            },
            {"t.csv": lengths},
        ),
        "binary": ("masks", masks, {"m/a_m.png": png(mask * 255), "m/b_m.png": empty}),
        "values": (
            "masks",
            {**masks, "coding": "values", "classes": {"5": "cell"}},
            {"m/a_m.png": png(mask * 5), "m/b_m.png": empty},
        ),
        "colours": (
            "masks",
            {**masks, "coding": "values", "classes": {"#09c81e": "cell"}},
            {"m/a_m.png": png(colours), "m/b_m.png": empty},
        ),
        "instances": (
            "masks",
            {**masks, "coding": "instances"},
            {"m/a_m.png": png(colours), "m/b_m.png": empty},
        ),
        "by class": (
            "masks",
            {**folder, "files": "m/{class}/{image}.png"},
            {"m/cell/a.png": png(mask)},
        ),
    }


BOXES = st.tuples(
    st.tuples(st.integers(0, W), st.integers(0, W)).filter(lambda p: p[0] < p[1]),
    st.tuples(st.integers(0, H), st.integers(0, H)).filter(lambda p: p[0] < p[1]),
).map(lambda p: (p[0][0], p[1][0], p[0][1], p[1][1]))


@pytest.mark.parametrize("name", in_every_format((1, 2, 3, 4)))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(box=BOXES)
def test_one_box_is_the_same_in_every_format(tmp_path, name, box):
    reader, options, files = in_every_format(box)[name]
    pictures = {f"i/{n}.png": png(np.zeros((H, W))) for n in "ab"}
    samples, bad = read(put(tmp_path, {**pictures, **files}), reader, **options)
    assert (bad, list(samples)) == ((), ["a", "b"])
    assert [len(each.findings) for each in samples.values()] == [1, 0]
    (found,) = samples["a"].findings
    assert found.box == pytest.approx(box, abs=1e-4)
    if found.mask:
        held = coco.decode({"size": [H, W], "counts": found.mask.encode()})
        assert (held == square(box)).all()
    for each, label in zip(samples.values(), ("cell", "none"), strict=True):
        assert (each.label, each.size, each.options) == (label, (W, H), ("cell",))
        assert (each.dataset, each.question) == ("7", "Find all of these in the picture.")
        assert each.image == pictures[each.origin]


MANY = {"files": "c.json", "images": "{image}"}
FILE = {"files": "t.csv", "images": "{image}"}
EDGES = "image,label,x1,y1,x2,y2"
DTD = '<!DOCTYPE a [<!ENTITY x "y">]>'
SEG = {"size": [H, W], "counts": "05o0"}
# Reader, options, files, and the row and reason of the one picture that is set aside.
BAD = {
    "outside": ("table", FILE, {"t.csv": table(EDGES, "a.png,cell,1,1,24,2")}, "1", "box outside"),
    "before": ("table", FILE, {"t.csv": table(EDGES, "a.png,cell,-1,1,4,2")}, "1", "box outside"),
    "swapped": ("table", FILE, {"t.csv": table(EDGES, "a.png,cell,5,1,4,2")}, "1", "box with cor"),
    "no area": (
        "table",
        FILE,
        {"t.csv": table(EDGES, "a.png,cell,1,1,4,2", "a.png,cell,4,1,4,2")},
        "2",
        "box of no area",
    ),
    "not a number": ("table", FILE, {"t.csv": table(EDGES, "a.png,cell,1,x,4,2")}, "1", "finding"),
    "nan": ("table", FILE, {"t.csv": table(EDGES, "a.png,cell,1,nan,4,2")}, "1", "box unreadable"),
    "incomplete": ("table", FILE, {"t.csv": table(EDGES, "a.png,cell,1,,4,2")}, "1", "box incompl"),
    "no class": (
        "table",
        FILE,
        {"t.csv": table(EDGES, "a.png,,1,1,4,2")},
        "1",
        "unknown class: ''",
    ),
    "other class": (
        "table",
        {**FILE, "classes": {"cell": "cell"}},
        {"t.csv": table(EDGES, "a.png,dust,1,1,4,2")},
        "1",
        "unknown class: 'dust'",
    ),
    "odd runs": (
        "table",
        FILE,
        {"t.csv": table("image,runs", "a.png,3 4 5")},
        "1",
        "mask of anoth",
    ),
    "long runs": (
        "table",
        FILE,
        {"t.csv": table("image,runs", f"a.png,1 {W * H}")},
        "1",
        "mask of another size",
    ),
    "no category": (
        "coco",
        MANY,
        {"c.json": coco_json([{"category_id": 9, "bbox": [1, 1, 2, 2]}], ["a.png"])},
        "1",
        "unknown class: category_id 9",
    ),
    "nothing": ("coco", MANY, {"c.json": coco_json([{}], ["a.png"])}, "1", "finding unreadable"),
    "other size": (
        "coco",
        MANY,
        {"c.json": coco_json([{"segmentation": {**SEG, "size": [W, H]}}], ["a.png"])},
        "1",
        "mask of another size: 17 x 23, its picture is 23 x 17",
    ),
    "short runs": (
        "coco",
        MANY,
        {"c.json": coco_json([{"segmentation": {**SEG, "counts": [1, 3]}}], ["a.png"])},
        "1",
        "mask of another size",
    ),
    "damaged runs": (
        "coco",
        MANY,
        {"c.json": coco_json([{"segmentation": {**SEG, "counts": "oooooooo\u00e9"}}], ["a.png"])},
        "1",
        "mask unreadable",
    ),
    "empty mask": (
        "coco",
        MANY,
        {"c.json": coco_json([{"segmentation": {**SEG, "counts": [W * H]}}], ["a.png"])},
        "1",
        "mask of no area",
    ),
    "polygon outside": (
        "coco",
        MANY,
        {"c.json": coco_json([{"segmentation": [[0, 0, 1e9, 0, 9, 9]]}], ["a.png"])},
        "1",
        "mask outside its picture",
    ),
    "half a polygon": (
        "coco",
        MANY,
        {"c.json": coco_json([{"segmentation": [[0, 0, 5, 0]]}], ["a.png"])},
        "1",
        "polygon unreadable",
    ),
    "twice": ("coco", MANY, {"c.json": coco_json([], ["a.png", "a.png"])}, "2", "duplicate image"),
    "not of an image": (
        "coco",
        MANY,
        {"c.json": coco_json([{"image_id": 8}], [])},
        "1",
        "annotation of no image",
    ),
    "missing": ("coco", MANY, {"c.json": coco_json([], ["c.png"])}, "1", "image missing"),
    "climbing": ("coco", MANY, {"c.json": coco_json([], ["../a.png"])}, "1", "image outside"),
    "no picture": ("coco", MANY, {"c.json": coco_json([], ["c.json"])}, "1", "not an image"),
    "entities": (
        "voc",
        {"files": "*.xml", "images": "{image}"},
        {"1.xml": (DTD + voc("a.png", (1, 1, 2, 2), "&x;")).encode("utf-16")},
        "-",
        "XML unreadable: a DOCTYPE",
    ),
    "cut short": (
        "voc",
        {"files": "*.xml", "images": "{image}"},
        {"1.xml": voc("a.png", (1, 1, 2, 2))[:-9]},
        "-",
        "XML unreadable",
    ),
    "oriented": (
        "yolo",
        {"files": "{image}.txt", "images": "{image}.png"},
        {"a.txt": "0 .1 .1 .1 .1\n0 .1 .1 .2 .1 .2 .2 .1 .2"},
        "2",
        "not a box",
    ),
    "without picture": (
        "yolo",
        {"files": "l/{image}.txt", "images": "i/{image}.png"},
        {"l/b.txt": "0 .1 .1 .1 .1"},
        "-",
        "image missing",
    ),
    "without mask": (
        "masks",
        {"files": "m/{image}.png", "images": "i/{image}.*"},
        {name: png(square((1, 1, 2, 2))) for name in ("i/a.png", "i/b.png", "m/a.png")},
        "-",
        "mask missing",
    ),
    "other mask": (
        "masks",
        {"files": "m/{image}.png", "images": "i/{image}.png"},
        {"m/a.png": png(np.eye(5))},
        "m/a.png",
        "mask of another size: 5 x 5",
    ),
    "no mask file": (
        "masks",
        {"files": "m/{image}.png", "images": "i/{image}.png"},
        {"m/a.png": b"no"},
        "m/a.png",
        "mask unreadable",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_set_aside_with_file_row_and_reason(tmp_path, name):
    reader, options, files, row, reason = BAD[name]
    put(tmp_path, {**dict.fromkeys(("a.png", "i/a.png"), png(np.zeros((H, W)))), **files})
    _, bad = read(
        tmp_path, reader, **{"classes": {"cell": "cell", "0": "cell", "1": "cell"}, **options}
    )
    (each,) = bad
    assert (each.row, each.reason[: len(reason)]) == (row, reason)
    assert (tmp_path / each.file).is_file()


@given(
    st.one_of(
        st.text(st.characters(min_codepoint=44, max_codepoint=114), max_size=12),
        st.lists(st.integers(-2, W * H), max_size=5),
        st.integers(0, 2**32).map(
            lambda seed: coco.encode(
                np.asfortranarray(np.random.default_rng(seed).random((H, W)) < 0.3, dtype=np.uint8)
            )["counts"]
        ),
    )
)
def test_run_lengths_are_those_of_a_mask_of_the_picture_or_refused(counts):
    """The library trusts them, and writes where it should not if they are damaged."""
    mask = {"size": [H, W], "counts": counts}
    try:
        found = run_lengths(mask, (W, H))
    except BadRowError:
        assert not isinstance(counts, bytes)
    else:
        assert set(np.unique(coco.decode(found)).tolist()) <= {0, 1}
        assert not isinstance(counts, bytes) or found == mask
        assert not isinstance(counts, list) or coco.area(found) == sum(counts[1::2])


def test_a_class_can_be_left_out_and_a_picture_without_findings_is_kept(tmp_path):
    files = {
        "a.png": png(np.zeros((H, W))),
        "t.csv": table(EDGES, "a.png,dust,1,1,4,2", "a.png,dust,2,2,9,9"),
    }
    samples, _ = read(put(tmp_path, files), "table", **FILE, classes={"dust": None, "cell": "c"})
    assert (samples["a"].findings, samples["a"].label) == ((), "none")
    with pytest.raises(DataError, match="subset s: no picture has a finding"):
        read(tmp_path, "table", **FILE, classes={"dust": None})


def test_classes_are_one_in_either_unicode_form(tmp_path):
    rows = ["a.png,M\u00e9ni,1,1,4,2", "a.png,Me\u0301ni,2,2,9,9", "a.png,\ufeffM\u00e9ni,3,3,9,9"]
    files = {"a.png": png(np.zeros((H, W))), "t.csv": table(EDGES, *rows)}
    for more in ({}, {"classes": {"Me\u0301ni": "Me\u0301ni"}}):
        samples, _ = read(put(tmp_path, files), "table", **FILE, **more)
        assert samples["a"].options == ("M\u00e9ni",)
        assert {each.label for each in samples["a"].findings} == {"M\u00e9ni"}


def test_a_mask_has_one_box_or_one_for_each_component_that_is_large_enough(tmp_path):
    mask = (
        square((1, 1, 4, 3))
        | square((4, 3, 6, 5))
        | square((10, 5, 12, 9))
        | square((20, 0, 21, 1))
    )
    put(tmp_path, {"i/a.png": png(0 * mask), "m/a.png": png(mask)})
    options = {"images": "i/{image}.png", "files": "m/{image}.png"}
    boxes = {}
    for rule in ({}, {"boxes": "component"}, {"boxes": "component", "smallest": 2}):
        found = read(tmp_path, "masks", **options, **rule)[0]["a"].findings
        boxes[str(rule)] = sorted(each.box for each in found)
        areas = [coco.area({"size": [H, W], "counts": each.mask}) for each in found]
        assert sum(areas) == mask.sum() - (rule.get("smallest") == 2)
    outer, every, large = boxes.values()
    assert outer == [(1, 0, 21, 9)]
    assert every == [(1, 1, 6, 5), (10, 5, 12, 9), (20, 0, 21, 1)]  # corners touch
    assert large == every[:2]


def test_a_box_is_in_the_picture_as_it_is_displayed(tmp_path):
    turned = Image.new("RGB", (H, W))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "a.jpg", exif=exif)
    put(tmp_path, {"t.csv": table(EDGES, f"a.jpg,cell,0,0,{W},{H}", f"a.jpg,cell,0,0,{W}.4,{H}")})
    samples, bad = read(tmp_path, "table", **FILE)
    assert (samples["a"].size, bad) == ((W, H), ())
    # What is out by less than half a pixel was rounded.
    assert [each.box for each in samples["a"].findings] == [(0, 0, W, H)] * 2


def test_split_and_group_are_those_of_the_file(tmp_path):
    files = {f"{n}.png": png(np.zeros((H, W))) for n in "abc"}
    rows = ["a.png,p1,train,c,1,1,2,2", "b.png,p1,test,c,1,1,2,2", "c.png,p2,?,c,1,1,2,2"]
    put(tmp_path, {**files, "t.csv": table("image,who,side,label,x1,y1,x2,y2", *rows)})
    options = {**FILE, "columns": {"group": "who"}, "split_by": {"column": "side"}}
    found = readers.get("table").source(spec("s"), options, tmp_path, Split())
    assert found.tests.tolist() == [False, True]
    assert len(set(found.pool.units.tolist())) == 1
    assert found.quarantined[0].reason.startswith("split unknown: '?' in side")


def test_each_source_dataset_has_its_own_folder_and_is_looked_for(tmp_path):
    put(tmp_path, {f"{n}/i/a.png": picture(n) for n in (7, 8)})
    put(tmp_path, {f"{n}/t.csv": table(EDGES, "a,c,1,1,2,2", "b,c,1,1,2,2") for n in (7, 8)})
    options = {"files": "{dataset}/t.csv", "images": "{dataset}/i/{image}.png"}
    subset = spec("s", datasets=("7", "8"), reader="table", options=options)
    said = []
    check_images([asked(subset, "table")], {"tiny": tmp_path}, {}, tmp_path / "o", 1, said.append)
    assert [line.split("such as ")[1][:9] for line in said[:2]] == ["7/i/b.png", "8/i/b.png"]
    lost = subset.model_copy(update={"datasets": ("7", "9")})
    check_images([asked(lost, "table")], {"tiny": tmp_path}, {}, tmp_path / "o", 1, said.append)
    assert "subset s: no file 9/t.csv in" in said[4]
    assert (tmp_path / "o").read_text().count(NO_QUESTIONS) == 2


def test_the_page_s_example_is_a_catalog_that_is_read(tmp_path):
    page = (BCCD.parents[2] / "docs/data.md").read_text(encoding="utf-8")
    name, text = re.search(
        r"^`(catalogs/[\w.]+)`:\n\n```yaml\n(.*?)^```$", page, re.M | re.S
    ).groups()
    files = {name: text, "annotations/blood.json": (BCCD / "bccd.json").read_bytes()}
    files |= {f"pictures/{file.name}": file.read_bytes() for file in BCCD.glob("*.jpg")}
    files |= dict.fromkeys(("polyps/images/a.png", "polyps/masks/a.png"), png(square((1, 2, 3, 4))))
    catalog = load("catalog", put(tmp_path, files) / name)
    readers.check(catalog)
    labels = []
    for subset in catalog.subsets:
        made = catalog.preparation(subset.id)
        options = {**made.options, **subset.options}
        found = readers.get(made.reader).source(subset, options, tmp_path, made.split)
        assert not found.quarantined
        labels.append(found.load(0).options)
    assert labels == [("red cell", "white cell"), ("polyp",)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"files": "x"}, "images: is missing"),
        ({"files": "x", "images": "y", "corner": "exclusive"}, "corner: unknown key. Did you"),
        ({"files": "x", "images": "y", "columns": {"x3": "z"}}, "columns"),
    ],
)
def test_wrong_options_are_refused(options, message):
    for reader in ("coco", "voc", "yolo", "table", "masks"):
        with pytest.raises(ConfigError, match=message):
            readers.get(reader).check(options)


def test_real_pictures_are_prepared_with_all_their_boxes(tmp_path):
    held = json.loads((BCCD / "bccd.json").read_text())
    names = {each["id"]: each["name"] for each in held["categories"]}
    true = {each["file_name"]: [] for each in held["images"]}
    files = {each["id"]: each["file_name"] for each in held["images"]}
    for each in held["annotations"]:
        x, y, w, h = each["bbox"]
        found = (names[each["category_id"]], (x, y, x + w, y + h))
        true[files[each["image_id"]]].append(found)
    options = {"files": "bccd.json", "images": "{image}"}
    subset = spec("cells", kind="detection", reader="coco", options=options)
    prepare(asked(subset, "coco", train=6, test=3, test_fraction=0.3), BCCD, tmp_path)
    sides = [read_samples(tmp_path / f"{side}.parquet") for side in ("train", "test")]
    assert list(map(len, sides)) == [6, 3]
    for each in chain(*sides):
        assert [(one.label, one.box) for one in each.findings] == true[each.origin]
        assert each.image == (BCCD / each.origin).read_bytes()
        assert (each.size, each.options) == ((640, 480), ("Platelets", "RBC", "WBC"))
