"""What the libraries can write is shown as it is, or refused with the reason that is true."""

import io
from itertools import product

import imagecodecs
import numpy as np
import pytest
from PIL import Image, features

from images.scenes import COLOURS, REAL, SCENE, difference, saved, tiff, typed
from matcg.images import ImageError, as_shown, decode, pixel_values, size_shown

PHOTOMETRIC = ("minisblack", "miniswhite", "rgb", "separated", "palette", "ycbcr", "cielab")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000")
# Pillow's types of pixels: those of colour, those of more than 8 bits.
PLAIN = ("1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
DEEP = {"I;16": "u2", "I;16B": ">u2", "I": "i4", "F": "f4"}
DEEP_IMAGE = Image.fromarray(typed(SCENE, "u2"))
# Types that Pillow writes no file of.
UNWRITTEN = {
    "PNG": ("RGBX", "CMYK", "YCbCr", "I", "F"),
    "JPEG": ("LA", "P", "RGBA", "I;16", "I;16B", "I", "F"),
    "BMP": ("LA", "RGBX", "CMYK", "YCbCr", "I;16", "I;16B", "I", "F"),
    "GIF": ("RGBX", "CMYK", "YCbCr"),
    "PPM": ("LA", "P", "RGBX", "CMYK", "YCbCr", "I;16B"),
    "JPEG2000": ("1", "P", "RGBX", "I", "F"),
}
EXACT = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}


def refused(data: bytes) -> str:
    """Return kind and detail of the error about a picture."""
    with pytest.raises(ImageError) as error:
        decode(data, "x")
    return f"{error.value.kind}: {error.value.detail}"


def stacked(kind: str, channels: int, photometric: str) -> np.ndarray:
    """Return the scene in so many channels: colours, or grey and what has nothing to do with it."""
    if photometric in ("rgb", "separated") and channels > 2:
        # The black ink is left out, so that the others show the colours' complement.
        base = 1 - COLOURS if photometric == "separated" else COLOURS
        rest = [np.zeros_like(SCENE)] * (channels - 3)
        return typed(np.stack([*np.moveaxis(base, 2, 0), *rest], axis=-1), kind)
    grey = 1 - SCENE if photometric == "miniswhite" else SCENE
    return typed(np.stack([grey, *[SCENE[::-1]] * (channels - 1)], axis=-1), kind)


def is_shown(kind: str, photometric: str, channels: int, alpha: bool) -> bool:
    """Tell whether a TIFF says for certain what it shows."""
    if kind == "bool" and channels > 1:
        return False
    if photometric in ("minisblack", "miniswhite"):
        return channels == 1 or (channels == 2 and alpha)
    if photometric == "rgb":
        return channels >= 3
    return photometric == "separated" and channels >= 4 and kind in ("u1", "u2", "u4")


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb", "separated"])
@pytest.mark.parametrize("kind", REAL)
def test_a_tiff_of_any_samples_is_shown_or_refused_by_name(kind, photometric):
    written = 0
    how = product((1, 2, 3, 4, 5), ("contig", "separate"), ("<", ">"), (False, True))
    for channels, planes, order, alpha in how:
        values = stacked(kind, channels, photometric)
        values = values[..., 0] if channels == 1 else values
        values = np.moveaxis(values, 2, 0) if planes == "separate" and channels > 1 else values
        told = {"planarconfig": planes, "extrasamples": ["unassalpha"] if alpha else None}
        told = {} if channels == 1 else told
        try:
            data = tiff(values, photometric=photometric, byteorder=order, **told)
        except ValueError:
            continue  # no such file can be written
        written += 1
        case = (kind, photometric, channels, planes, order, alpha)
        if is_shown(kind, photometric, channels, alpha):
            scene = SCENE if photometric.startswith("min") else COLOURS
            assert difference(data, scene, kind == "bool") <= 1, case
        else:
            assert "TIFF of" in refused(data), case
    assert written >= 4


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "u4", "f4", "f8"])
def test_a_tiff_is_shown_with_any_compression_in_strips_and_tiles(kind, compression):
    for predictor, shape in product((False, True), ({"rowsperstrip": 7}, {"tile": (16, 32)})):
        for scene, photometric in ((SCENE, "minisblack"), (COLOURS, "rgb")):
            how = {"compression": compression, "photometric": photometric, **shape}
            try:
                data = tiff(typed(scene, kind), predictor=predictor, **how)
            except (ValueError, NotImplementedError, KeyError):
                assert predictor
                continue
            assert difference(data, scene) <= 1, how


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "webp", "png", "lerc", "jpegxl"])
def test_other_compressions_of_many_bits_are_named_where_they_are_not_read(compression):
    for kind in ("u1", "u2", "f4"):
        try:
            data = tiff(typed(SCENE, kind), compression=compression)
        except (ValueError, RuntimeError):
            continue
        if kind == "u1" and compression in ("jpeg", "webp"):
            assert difference(data, SCENE) <= 12
        else:
            assert f"compression {compression.upper()}" in refused(data).replace("_", "")


def test_a_tiff_with_a_palette_is_shown():
    for kind, compression in (("u1", None), ("u1", "packbits"), ("u2", "zlib")):
        places = typed(SCENE, kind, 8)
        colours = np.zeros((3, 256 ** np.dtype(kind).itemsize), "u2")
        colours[:, :256] = np.arange(255, -1, -1) * 257
        data = tiff(places, photometric="palette", colormap=colours, compression=compression)
        assert difference(data, 1 - SCENE) <= 1
        assert (pixel_values(data, "x") == places).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_what_pillow_packs_is_kept_as_it_is(mode):
    image = Image.fromarray(typed(COLOURS, "u1")).convert(mode)
    data = saved(image, "TIFF", compression="packbits")
    assert as_shown(data, "x") == data
    plain = Image.open(io.BytesIO(data)).convert("RGB")
    assert decode(data, "x").tobytes() == plain.tobytes()


@pytest.mark.parametrize("bits", [2, 4, 6, 10, 12, 14])
@pytest.mark.parametrize("photometric", ["minisblack", "rgb"])
def test_a_tiff_of_packed_bits_is_shown_or_refused(photometric, bits):
    kind = "u1" if bits <= 8 else "u2"
    scene = SCENE if photometric == "minisblack" else COLOURS
    data = tiff(typed(scene, kind, bits), bitspersample=bits, photometric=photometric)
    # Fewer levels than 256 leave each further off.
    assert difference(data, scene) <= 1 + 128 / (2**bits - 1)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (tiff(typed(SCENE, "c8")), "TIFF of 1 x 64-bit samples of complex type"),
        (tiff(np.stack([SCENE] * 16), volumetric=True, tile=(16, 16, 16)), "16 slices deep"),
        (tiff(typed(COLOURS, "u2"), photometric="ycbcr"), "YCBCR"),
        (tiff(typed(COLOURS, "u1"), photometric="ycbcr", planarconfig="separate"), "YCBCR"),
        (tiff(typed(COLOURS, "u1"), photometric="cielab", planarconfig="separate"), "CIELAB"),
        (tiff(typed(SCENE, "u2"), photometric="cfa"), "CFA"),
        (saved(DEEP_IMAGE, "TIFF", tiffinfo={317: 2}), "may be differences"),
        (imagecodecs.jpeg2k_encode(np.stack([typed(SCENE, "u2")] * 5, -1)), "5 channels"),
        (imagecodecs.jpeg2k_encode(typed(SCENE, "u4")), "JPEG 2000 of 26 bits"),
        (bytes(128) + b"DICM" + bytes(99), "not an image: its format seems to be DICOM"),
        (b"\0\0\0\x20ftypheic" + bytes(99), "HEIF"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_what_is_not_shown_is_named(data, named):
    assert named in refused(data)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("mode", [*PLAIN, *DEEP])
def test_what_pillow_writes_is_shown(mode, form):
    assert features.check("webp")
    grey = mode in ("1", "L", "LA", "P") or mode in DEEP
    scene = SCENE if grey else COLOURS
    if mode in DEEP:
        values = typed(scene, "u2") if mode == "I" else typed(scene, DEEP[mode])
        image = Image.fromarray(values.astype("i4") if mode == "I" else values.astype(DEEP[mode]))
    else:
        image = Image.fromarray(typed(scene, "u1"))
        image = image.point(lambda v: 255 * (v > 127), "1") if mode == "1" else image.convert(mode)
    if mode in UNWRITTEN.get(form, ()):
        with pytest.raises((OSError, ValueError)):
            saved(image, form, **EXACT.get(form, {}))
        return
    data = saved(image, form, **EXACT.get(form, {}))
    if mode not in DEEP:
        # Byte for byte what Pillow makes of it.
        plain = Image.open(io.BytesIO(data)).convert("RGB")
        assert decode(data, "x").tobytes() == plain.tobytes()
        assert as_shown(data, "x") == data
    if mode in DEEP and form in ("GIF", "WEBP", "JPEG", "BMP"):
        return  # Pillow cuts it to 8 bits as it writes
    if (form, mode[:3]) == ("GIF", "RGB") or (form, mode) == ("JPEG2000", "I;16B"):
        return  # Pillow chooses 256 colours, or swaps bytes, as it writes
    near = {"CMYK": 2, "YCbCr": 4}.get(mode, 1) + 3 * (form == "JPEG")
    assert difference(data, scene, mode == "1") <= near


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4"])
def test_png_and_jpeg_2000_are_shown_with_all_their_bits(kind, channels):
    scene = SCENE if channels < 3 else COLOURS
    for bits in {"u2": (12, 16), "u4": (20,)}.get(kind, (0,)):
        values = typed(scene, kind, bits)
        parts = [values] if channels < 3 else list(np.moveaxis(values, 2, 0))
        alpha = [np.full_like(parts[0], np.iinfo(kind).max)] * (channels in (2, 4))
        pixels = parts[0] if channels == 1 else np.stack([*parts, *alpha], -1)
        written = [imagecodecs.jpeg2k_encode(pixels, level=0, bitspersample=bits or None)]
        written += [imagecodecs.png_encode(pixels)] if kind in ("u1", "u2") else []
        for data in written:
            assert difference(data, scene) <= 1


@pytest.mark.parametrize("scene", [SCENE, COLOURS], ids=["grey", "RGB"])
def test_a_jpeg_of_twelve_bits_is_shown_and_known_where_it_is_cut(scene, tmp_path):
    how = {"level": 100, "bitspersample": 12, "subsampling": "444"}
    data = imagecodecs.jpeg8_encode(typed(scene, "u2", 12), **how)
    assert difference(data, scene) <= 1.5
    (tmp_path / "x.jpg").write_bytes(data)
    assert size_shown(tmp_path / "x.jpg", "x") == SCENE.shape[::-1]
    assert "image damaged: JPEG that is cut short" in refused(data[:-99])


@pytest.mark.parametrize("most", [255, 1000, 4095, 65535])
@pytest.mark.parametrize("magic", [2, 3, 5, 6])
def test_netpbm_is_shown_with_all_its_bits(magic, most):
    scene = SCENE if magic in (2, 5) else COLOURS
    values = np.rint(scene * most).astype(">u2" if most > 255 else "u1")
    plain = " ".join(map(str, values.ravel().tolist())).encode()
    head = b"P%d %d %d %d\n" % (magic, *SCENE.shape[::-1], most)
    assert difference(head + (plain if magic < 4 else values.tobytes()), scene) <= 1


@pytest.mark.parametrize(("magic", "scene"), [(b"Pf", SCENE), (b"PF", COLOURS)])
def test_float_maps_are_shown(magic, scene):
    head = magic + b"\n%d %d\n-1.0\n" % SCENE.shape[::-1]
    assert difference(head + scene[::-1].astype("<f4").tobytes(), scene) <= 1


@pytest.mark.parametrize("cut", [0.2, 0.6, 0.97])
@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}, {"tile": (16, 16)}])
def test_a_deep_tiff_that_is_cut_short_is_damaged(how, cut):
    data = tiff(typed(SCENE, "f4"), **how)
    assert refused(data[: int(cut * len(data))]).startswith(("image damaged", "not an image"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_deep_picture_stands_upright_as_a_plain_one_does(orientation):
    plain = tiff(typed(SCENE, "u1"), extratags=[(274, "H", 1, orientation, True)])
    deep = tiff(typed(SCENE, "f4"), extratags=[(274, "H", 1, orientation, True)])
    exif = Image.Exif()
    exif[274] = orientation
    png = saved(Image.fromarray(typed(SCENE, "u2")), "PNG", exif=exif)
    upright = np.asarray(decode(plain, "x")).astype(int)
    for data in (deep, png):
        assert np.abs(np.asarray(decode(data, "x")) - upright).max() <= 1


def test_a_mask_is_read_with_all_its_bits():
    values = np.arange(24).reshape(4, 6)
    for kind in ("u1", "i1", "u2", "i2", "u4", "i8", "f4", "f8"):
        assert (pixel_values(tiff(values.astype(kind)), "x") == values).all()
    deep = saved(Image.fromarray((values * 2000).astype("u2")), "PNG")
    assert (pixel_values(deep, "x") == values * 2000).all()
    colours = np.stack([values, values * 2, values * 3], -1)
    red, green, blue = np.moveaxis(colours, 2, 0)
    coded = np.where(values, (1 << 24) + (red << 16) + (green << 8) + blue, 0)
    for data in (
        saved(Image.fromarray(colours.astype("u1")), "PNG"),
        imagecodecs.png_encode((colours * 257).astype("u2")),
    ):
        assert (pixel_values(data, "x") == coded).all()
    for bad in (values + 0.5, np.where(values, 1, np.nan)):
        with pytest.raises(ImageError, match="no whole numbers"):
            pixel_values(tiff(bad.astype("f4")), "x")
    with pytest.raises(ImageError, match="colours of a mask"):
        pixel_values(imagecodecs.png_encode(colours.astype("u2")), "x")
