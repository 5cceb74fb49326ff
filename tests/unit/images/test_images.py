"""Files that are no images are refused, and equal pictures are recognised."""

import io
import struct
import zlib

import pytest
from PIL import Image

from data_makers import picture
from matcg.errors import DataError
from matcg.images import MAX_PIXELS, decode, fit, pixel_digest


def saved(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def huge_png(edge: int) -> bytes:
    """Return a PNG whose header announces far more pixels than its few bytes hold."""
    head = struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>not found</html>", id="web page"),
        pytest.param(picture(1)[:50], id="truncated PNG"),
        pytest.param(saved(Image.effect_noise((64, 64), 50), "JPEG")[:600], id="truncated JPEG"),
        pytest.param(picture(1)[:20], id="header only"),
    ],
)
def test_what_is_no_whole_image_is_refused_with_its_place(data):
    with pytest.raises(DataError, match=r"row 7: .*replace the file"):
        decode(data, "row 7")


@pytest.mark.parametrize("edge", [8_001, 60_000])
def test_too_many_pixels_are_refused_before_they_are_decoded(edge):
    assert edge * edge > MAX_PIXELS
    with pytest.raises(DataError, match=r"big\.png: .* exceeds? "):
        decode(huge_png(edge), "big.png")


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK"])
def test_every_mode_becomes_rgb(mode):
    form = "TIFF" if mode == "CMYK" else "PNG"
    image = decode(saved(Image.new("RGB", (5, 4), (255, 255, 255)).convert(mode), form), "x")
    assert (image.mode, image.size) == ("RGB", (5, 4))
    assert min(image.getpixel((2, 2))) > 250


def test_a_photograph_stands_upright_as_its_camera_says():
    turned = Image.Exif()
    turned[0x0112] = 6
    data = saved(Image.new("RGB", (5, 3)), "JPEG", exif=turned)
    assert decode(data, "x").size == (3, 5)


def test_digest_is_of_the_picture_not_of_the_file():
    png, bmp = picture(3, "PNG"), picture(3, "BMP")
    assert png != bmp
    assert pixel_digest(decode(png, "a")) == pixel_digest(decode(bmp, "b"))
    assert pixel_digest(decode(png, "a")) != pixel_digest(decode(picture(4), "c"))


def test_digest_tells_shapes_of_the_same_bytes_apart():
    flat = [Image.new("RGB", size) for size in ((2, 8), (8, 2), (4, 4))]
    assert len({pixel_digest(image) for image in flat}) == 3


def test_bars_have_the_colour_asked_and_the_picture_stays():
    image = fit(Image.new("RGB", (10, 20), (255, 255, 255)), 8, "pad", (122, 116, 104))
    assert image.getpixel((0, 4)) == image.getpixel((7, 0)) == (122, 116, 104)
    assert image.getpixel((4, 4)) == (255, 255, 255)


@pytest.mark.parametrize(("geometry", "left_edge"), [("squash", 255), ("pad", 0), ("crop", 255)])
def test_fit_makes_a_square_in_the_way_asked(geometry, left_edge):
    image = fit(Image.new("RGB", (10, 20), (255, 255, 255)), 8, geometry)
    assert image.size == (8, 8)
    assert image.getpixel((0, 4))[0] == left_edge
