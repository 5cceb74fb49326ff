"""DICOM: every way to store a frame gives the same values, which are shown as the file says."""

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from images import hospital as made
from images.hospital import dicom
from images.scenes import COLOURS, SCENE, typed
from matcg.images import ImageError, dicom_codecs
from matcg.images import dicom as module
from matcg.images.dicom import read_frame, read_header

GREY = typed(SCENE, "u2", 12)
WIDE = typed(SCENE, "u2")
SIGNED = (typed(SCENE, "u2", 12).astype("i2") - 2048).astype("i2")
RGB = typed(COLOURS, "u1")


def values(data: bytes, frame: int = 1, window: Any = None) -> Any:
    return read_frame(data, frame, "x", window).values


def levels(data: bytes, frame: int = 1, window: Any = None) -> Any:
    return np.asarray(read_frame(data, frame, "x", window).image())


def refused(data: bytes, frame: int = 1) -> str:
    with pytest.raises(ImageError) as error:
        read_frame(data, frame, "x")
    return str(error.value)


def lossless(values: Any) -> bytes:
    bits = 12 if values.dtype == "u2" and values.max() < 4096 else 8 * values.dtype.itemsize
    how = {"colorspace": "RGB", "outcolorspace": "RGB"} if values.ndim == 3 else {}
    return imagecodecs.jpeg8_encode(values, lossless=True, bitspersample=bits, **how)


EXACT = {
    made.LITTLE: None,
    made.IMPLICIT: None,
    made.BIG: None,
    made.DEFLATED: None,
    made.RLE: made.runs,
    made.LOSSLESS: lossless,
    made.FIRST_ORDER: lossless,
    made.JPEG_LS: imagecodecs.jpegls_encode,
    made.WAVELETS: made.wavelets,
    made.LOSSY_WAVELETS: made.wavelets,
    **dict.fromkeys(made.HIGH_THROUGHPUT, imagecodecs.htj2k_encode),
}


@pytest.mark.parametrize("syntax", EXACT)
@pytest.mark.parametrize("scene", ["grey", "wide", "bytes", "signed", "rgb"])
def test_every_exact_way_to_store_a_frame_gives_its_values(syntax: str, scene: str) -> None:
    held = {"grey": GREY, "wide": WIDE, "bytes": RGB[..., 0], "signed": SIGNED, "rgb": RGB}[scene]
    tags = {"BitsStored": 12} if scene in ("grey", "signed") else {}
    encode = EXACT[syntax]
    if scene == "signed" and encode not in (None, made.runs, made.wavelets):
        # No sign there: the bits above the stored ones are not written.
        plain, encode = encode, lambda each: plain((each.view("u2") & 4095).astype("u2"))
    if encode == made.wavelets and scene == "rgb":
        tags["PhotometricInterpretation"] = "YBR_RCT"
    data = dicom(np.ascontiguousarray(held), syntax, encode, **tags)
    assert np.array_equal(values(data), held)


def test_every_syntax_that_is_said_to_be_read_is_tested() -> None:
    lossy = {made.BASELINE, made.EXTENDED, made.NEAR}
    known = dicom_codecs.NATIVE | {dicom_codecs.DEFLATED} | dicom_codecs.COMPRESSED
    assert EXACT.keys() | lossy == known


@pytest.mark.parametrize(
    ("syntax", "encode", "held", "tags"),
    [
        (made.BASELINE, imagecodecs.jpeg8_encode, RGB[..., 0], {}),
        (
            made.EXTENDED,
            lambda v: imagecodecs.jpeg8_encode(v, bitspersample=12),
            GREY,
            {"BitsStored": 12},
        ),
        (made.NEAR, lambda v: imagecodecs.jpegls_encode(v, level=2), RGB[..., 0], {}),
        (made.BASELINE, imagecodecs.jpeg8_encode, RGB, {"PhotometricInterpretation": "YBR_FULL"}),
    ],
)
def test_ways_that_lose_something_lose_little(
    syntax: str, encode: Any, held: Any, tags: dict[str, Any]
) -> None:
    shown = values(dicom(np.ascontiguousarray(held), syntax, encode, **tags))
    assert np.abs(shown.astype(float) - held).mean() < 0.02 * held.max()


def test_colours_of_a_jpeg_are_those_that_file_and_jpeg_agree_on() -> None:
    said = dicom(RGB, made.BASELINE, imagecodecs.jpeg8_encode)
    assert "RGB whose JPEG says that it is YBR" in refused(said)
    plain = dicom(
        RGB,
        made.BASELINE,
        lambda v: imagecodecs.jpeg8_encode(v, colorspace="RGB", outcolorspace="RGB", level=95),
    )
    assert np.abs(values(plain).astype(float) - RGB).max() < 12
    other = made.changed(plain, PhotometricInterpretation="YBR_FULL")
    assert "whose JPEG says that it is RGB" in refused(other)


def test_colours_by_planes_or_in_light_and_colour_are_the_same() -> None:
    planes = np.ascontiguousarray(np.moveaxis(RGB, 2, 0)).reshape(*RGB.shape)
    assert np.array_equal(values(dicom(planes, PlanarConfiguration=1)), RGB)
    ybr = np.asarray(Image.fromarray(RGB).convert("YCbCr"))
    full = values(dicom(ybr, PhotometricInterpretation="YBR_FULL"))
    assert np.abs(full.astype(int) - RGB).max() <= 3
    shared = ybr.copy()
    shared[:, 1::2, 1:] = shared[:, ::2, 1:]
    quads = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], axis=-1)
    data = dicom(RGB, PhotometricInterpretation="YBR_FULL_422")
    data = made.changed(data, PixelData=np.ascontiguousarray(quads).tobytes())
    wanted = np.asarray(Image.fromarray(shared, "YCbCr").convert("RGB"))
    assert np.array_equal(values(data), wanted)


def test_values_are_rescaled_and_shown_by_the_files_window() -> None:
    how = {"BitsStored": 12, "RescaleSlope": 2, "RescaleIntercept": -1024}
    data = dicom(GREY, **how)
    assert np.array_equal(values(data), GREY * 2.0 - 1024)
    assert np.array_equal(values(dicom(GREY, RescaleSlope="0.5")), GREY / 2)
    data = made.changed(data, WindowCenter=[40, 400], WindowWidth=[400, 10])
    x = GREY * 2.0 - 1024
    # DICOM PS3.3, C.11.2.1.2.1.
    wanted = np.clip(((x - 39.5) / 399 + 0.5) * 255, 0, 255)
    wanted[x <= 39.5 - 399 / 2], wanted[x > 39.5 + 399 / 2] = 0, 255
    assert np.abs(levels(data) - wanted).max() <= 0.501
    exact = made.changed(data, VOILUTFunction="LINEAR_EXACT")
    assert np.abs(levels(exact) - np.clip(((x - 40) / 400 + 0.5) * 255, 0, 255)).max() <= 0.501
    curve = made.changed(data, VOILUTFunction="SIGMOID")
    assert np.abs(levels(curve) - 255 / (1 + np.exp(-4 * (x - 40) / 400))).max() <= 0.501
    given = np.clip((x + 160) / 400 * 255, 0, 255)
    assert np.abs(levels(data, window=(-160, 240)) - given).max() <= 0.501


def test_pydicom_shows_the_same_by_its_own_functions() -> None:
    lut = Dataset()
    lut.LUTDescriptor, lut.LUTData = (
        [4096, 0, 16],
        (np.arange(4096) ** 2 // 256).astype("<u2").tobytes(),
    )
    for tags in (
        {"RescaleSlope": 1.5, "RescaleIntercept": -7, "WindowCenter": 900, "WindowWidth": 500},
        {"VOILUTSequence": [lut]},
        {"ModalityLUTSequence": [lut], "WindowCenter": 30000, "WindowWidth": 20000},
    ):
        data = dicom(GREY, BitsStored=12, **tags)
        ds = pydicom.dcmread(io.BytesIO(data))
        x = pydicom.pixels.apply_modality_lut(ds.pixel_array, ds)
        x = pydicom.pixels.apply_voi_lut(x, ds).astype(float)
        low, high = (0, 65535) if "VOILUTSequence" in tags else (x.min(), x.max())
        assert np.abs(levels(data) - (x - low) / (high - low) * 255).max() <= 1.001


def test_without_a_window_a_hot_pixel_takes_no_grey_levels() -> None:
    held = GREY.copy()
    held[3, 5] = 65535
    shown = levels(dicom(held))
    others = np.ones(held.shape, bool)
    others[3, 5] = False
    assert np.abs(shown - SCENE * 255)[others].max() < 3


def test_what_has_no_unit_is_not_seen_through_a_window_in_one() -> None:
    held = RGB[..., 0].copy()
    assert np.array_equal(levels(dicom(held), window=(-160, 240)), held)
    signed = (held.astype(int) - 128).astype("i1")
    found = levels(dicom(signed), window=(-128, 127))
    assert np.array_equal(found, held)
    rescaled = levels(dicom(held, RescaleIntercept=-100, RescaleSlope=1), window=(-100, 155))
    assert np.array_equal(rescaled, held)


def test_a_table_of_offsets_apart_from_the_frames_is_heeded() -> None:
    frames = [GREY, GREY[::-1].copy()]
    ds = pydicom.dcmread(io.BytesIO(dicom(frames, made.RLE, made.runs, BitsStored=12)))
    held = [made.runs(each) for each in frames]
    found = pydicom.encaps.encapsulate_extended(held)
    ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = found
    for number, frame in enumerate(frames, start=1):
        assert np.array_equal(values(made.saved(ds), number), frame)


def test_monochrome1_is_turned_round_and_padding_is_black() -> None:
    plain = dicom(RGB[..., 0])
    assert np.array_equal(levels(plain), RGB[..., 0])
    turned = made.changed(plain, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(levels(turned), 255 - RGB[..., 0])
    shape = made.changed(plain, PresentationLUTShape="INVERSE")
    assert np.array_equal(levels(shape), 255 - RGB[..., 0])
    padded = SIGNED.copy()
    padded[:8] = -2048
    data = dicom(padded, PixelPaddingValue=-2048, PhotometricInterpretation="MONOCHROME1")
    assert not levels(data)[:8].any()
    rest = padded[8:].astype(float)
    wanted = 255 - (rest - rest.min()) / np.ptp(rest) * 255
    assert np.abs(levels(data)[8:] - wanted).max() < 5


def palette(entries: int, first: int, bits: int) -> dict[str, Any]:
    kind = "<u2" if bits == 16 else "u1"
    tags: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, step in (("Red", 1), ("Green", 2), ("Blue", 3)):
        table = (np.arange(entries) * step % 256 * (256 if bits == 16 else 1)).astype(kind)
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [entries, first, bits]
        tags[f"{name}PaletteColorLookupTableData"] = table.tobytes()
    return tags


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_gives_its_colours_and_none_to_what_is_beyond_it(bits: int) -> None:
    held = (RGB[..., 0] // 4 + 10).astype("u1")
    shown = values(dicom(held, **palette(64, 10, bits)))
    place = held.astype(int) - 10
    assert np.array_equal(shown, np.stack([place, place * 2 % 256, place * 3 % 256], axis=-1))
    assert "beyond its palette of 63" in refused(dicom(held, **palette(63, 10, bits)))
    assert "beyond its palette" in refused(dicom(held, **palette(64, 11, bits)))
    none = dicom(held, PhotometricInterpretation="PALETTE COLOR")
    assert "without its palette" in refused(none)


@pytest.mark.parametrize("syntax", [made.LITTLE, made.BIG, made.RLE, made.WAVELETS])
def test_frames_are_told_apart(syntax: str) -> None:
    frames = [GREY, GREY[::-1].copy(), GREY[:, ::-1].copy()]
    data = dicom(frames, syntax, EXACT[syntax], BitsStored=12)
    for number, frame in enumerate(frames, start=1):
        assert np.array_equal(values(data, number), frame)
    for number in (0, 4):
        assert "frame missing: the file has 3" in refused(data, number)


def test_bits_are_unpacked_over_the_bounds_of_frames() -> None:
    frames = np.random.default_rng(0).integers(0, 2, (3, 5, 7)).astype("u1")
    packed = np.packbits(frames.ravel(), bitorder="little").tobytes()
    data = dicom(list(frames), BitsAllocated=1, BitsStored=1)
    data = made.changed(data, PixelData=packed)
    for number, frame in enumerate(frames, start=1):
        assert np.array_equal(levels(data, number), frame * 255)


def test_a_frame_has_a_window_and_slope_of_its_own() -> None:
    groups = []
    for at in range(2):
        voi, pixels, group = Dataset(), Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth = 100 * (at + 1), 50
        pixels.RescaleSlope, pixels.RescaleIntercept = at + 1, 5
        group.FrameVOILUTSequence, group.PixelValueTransformationSequence = [voi], [pixels]
        groups.append(group)
    data = dicom([GREY, GREY], PerFrameFunctionalGroupsSequence=groups)
    for at in range(2):
        found = read_frame(data, at + 1, "x")
        assert np.array_equal(found.values, GREY * (at + 1.0) + 5)
        centre = 100 * (at + 1) - 0.5
        assert found.full == (centre - 24.5, centre + 24.5)


SPOILT = {
    "no pixel data": ({"PixelData": None}, "no picture: DICOM without pixel data"),
    "no rows": ({"Rows": None, "PixelData": None}, "no picture"),
    "slope nan": ({"RescaleSlope": "NaN"}, "RescaleSlope is no number"),
    "slope 0": ({"RescaleSlope": 0}, "RescaleSlope is 0"),
    "intercept": ({"RescaleSlope": 1, "RescaleIntercept": "inf"}, "RescaleIntercept is no number"),
    "window": ({"WindowCenter": "NaN", "WindowWidth": 5}, "WindowCenter is no number"),
    "width": ({"WindowCenter": 1, "WindowWidth": 0}, "WindowWidth is 0; give option"),
    "no width": ({"WindowCenter": 1}, "does not say WindowWidth"),
    "function": (
        {"WindowCenter": 1, "WindowWidth": 9, "VOILUTFunction": "ODD"},
        "VOILUTFunction is not known",
    ),
    "bits": ({"BitsStored": 17}, "17 bits up to bit 16 of 16, which cannot be"),
    "high": ({"BitsStored": 12, "HighBit": 15}, "12 bits up to bit 15 of 16, which cannot be"),
    "allocated": ({"BitsAllocated": 24, "BitsStored": 16}, "of 24, which cannot be"),
    "colours": ({"PhotometricInterpretation": "ODD"}, "colours cannot be told"),
    "samples": ({"SamplesPerPixel": 2}, "2 channels whose colours cannot be told"),
    "short": ({"Rows": 400}, "cut short"),
    "large": ({"Rows": 60000, "Columns": 60000}, "image too large"),
    "empty": ({"Rows": 0}, "of no pixels"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_cannot_be_read_faithfully_is_refused_with_its_reason(name: str) -> None:
    tags, reason = SPOILT[name]
    assert reason in refused(dicom(GREY, **tags))


def test_a_codestream_of_another_size_or_of_more_bits_is_never_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("decoded")

    bomb = np.zeros((4096, 4096), "u1")
    streams = {
        made.BASELINE: imagecodecs.jpeg8_encode(bomb),
        made.JPEG_LS: imagecodecs.jpegls_encode(bomb),
        made.WAVELETS: made.wavelets(bomb),
        made.HIGH_THROUGHPUT[0]: imagecodecs.htj2k_encode(bomb),
    }
    for name in ("jpeg8_decode", "jpegls_decode", "jpeg2k_decode", "htj2k_decode"):
        monkeypatch.setattr(imagecodecs, name, never)
    for syntax, stream in streams.items():
        data = dicom(RGB[..., 0].copy(), syntax, lambda _, held=stream: held)
        assert "whose compressed frame has 4096 x 4096 x 1" in refused(data)
    deep = dicom(RGB[..., 0].copy(), made.WAVELETS, lambda _: made.wavelets(WIDE))
    assert "8 bits whose compressed frame has 16 bits" in refused(deep)


def test_run_lengths_beyond_their_frame_are_refused() -> None:
    runs = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56)
    bomb = runs + b"\x81\xff" * 100_000
    assert "image damaged" in refused(dicom(RGB[..., 0].copy(), made.RLE, lambda _: bomb))


def test_a_deflated_file_is_inflated_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    data = dicom(np.zeros((1000, 1000), "u2"), made.DEFLATED)
    assert len(data) < 20_000
    assert not values(data).any()
    monkeypatch.setattr(module, "MAX_BYTES", 1_000_000)
    assert "image too large: inflated it exceeds 1000000 bytes" in refused(data)


@pytest.mark.parametrize("syntax", [made.BASELINE, made.JPEG_LS, made.WAVELETS])
def test_a_frame_that_is_cut_short_is_refused(syntax: str) -> None:
    encode = EXACT.get(syntax, imagecodecs.jpeg8_encode)
    data = dicom(RGB[..., 0].copy(), syntax, lambda each: encode(each)[:-40])
    assert "image damaged" in refused(data)


def test_unknown_compressions_are_named_as_such() -> None:
    video = dicom(RGB[..., 0].copy(), "1.2.840.10008.1.2.4.102", lambda _: b"\0" * 100)
    assert "in a compression that is not read" in refused(video)


def test_the_header_tells_frames_size_and_patient(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(dicom([GREY, GREY]))
    told = read_header(path, "x")
    assert (told.frames, told.columns, told.rows) == (2, *GREY.shape[::-1])
    assert told.patient == "PatientID=MRN-4711"
    path.write_bytes(dicom(GREY, PatientID=" "))
    assert read_header(path, "x").patient == "StudyInstanceUID=1.2.3.4711"
    path.write_bytes(dicom(GREY, PatientID=None, StudyInstanceUID=None))
    assert read_header(path, "x").patient == ""


FOLDER = Path(pydicom.__file__).parent / "data"
THEIRS = [
    path
    for path in sorted(FOLDER.rglob("*"))
    if path.is_file() and path.read_bytes()[128:132] == b"DICM"
]
# Of pydicom's own files, without a picture or with one that is not shown for certain.
NOT_SHOWN = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "whose compressed frame has",
    "MR_truncated.dcm": "cut short",
    "SC_rgb_rle_32bit.dcm": "in colours of 32 bits",
    "SC_rgb_rle_32bit_2frame.dcm": "in colours of 32 bits",
    "badVR.dcm": "NumberOfFrames is no whole number",
}


def by_pydicom(path: Path) -> Any:
    """Return what pydicom says that a file's first frame has, None where it cannot tell."""
    ds = pydicom.dcmread(path)
    try:
        frame = ds.pixel_array
    except (AttributeError, RuntimeError, NotImplementedError, ValueError):
        return None
    frame = frame[0] if int(ds.get("NumberOfFrames") or 1) > 1 else frame
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        found = pydicom.pixels.apply_color_lut(frame, ds)
        return found >> 8 if found.dtype == np.uint16 else found
    # pydicom has converted those of YBR, by other roundings.
    if ds.PhotometricInterpretation.startswith("YBR"):
        return None
    return pydicom.pixels.apply_rescale(frame, ds) if ds.SamplesPerPixel == 1 else frame


@pytest.mark.filterwarnings("ignore")
def test_pydicoms_own_files_are_read_as_it_reads_them() -> None:
    compared, refusals = 0, {}
    for path in THEIRS:
        try:
            found = values(path.read_bytes())
        except ImageError as error:
            refusals[path.name] = str(error)
            continue
        if (wanted := by_pydicom(path)) is not None:
            compared += 1
            told = np.isfinite(found)  # padding is not
            assert np.allclose(found[told], wanted[told], rtol=0, atol=1e-6), path.name
            assert told.mean() > 0.5
    others = {name: why for name, why in refusals.items() if "without pixel" not in why}
    assert others.keys() == NOT_SHOWN.keys()
    assert [name for name, why in NOT_SHOWN.items() if why not in others[name]] == []
    assert compared >= 75


def test_no_reason_says_what_stands_in_the_header(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    data = dicom(GREY, RescaleSlope="1.0", WindowCenter="1.0", WindowWidth="2.0")
    name = b"DOE^JOHN"
    for odd in (
        data.replace(b"DS\x04\x001.0 ", b"DS\x04\x00DOE^"),
        data[: data.index(name) + 4],
        data.replace(b"US\x02\x00", b"DA\x02\x00"),
    ):
        with pytest.raises(ImageError) as error:
            read_frame(odd, 1, "x")
        assert "DOE" not in str(error.value) + caplog.text + "".join(capfd.readouterr())


def test_the_header_is_read_without_the_pixels(tmp_path: Path) -> None:
    data = dicom(np.zeros((2000, 2000), "u2"))
    (tmp_path / "x").write_bytes(data[: -len(data) // 2])
    assert read_header(tmp_path / "x", "x").rows == 2000
    (tmp_path / "x").write_bytes(dicom(GREY, made.DEFLATED))
    assert read_header(tmp_path / "x", "x").patient == "PatientID=MRN-4711"
