"""Contact sheet of linked pictures: each with its place and the file that it was found in."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from matcg.images import ImageError, decode

_ACROSS = 5
_SIDE = 200  # pixels of a picture's square
_LINES = 40  # pixels of the text below it
_LETTERS = 34  # that a line has room for


def draw_placed(links: Sequence[tuple[Path, str, str]], out: Path) -> None:
    """Write a PNG of pictures, given by file, the path in questions and that of what was found."""
    down = -(-len(links) // _ACROSS)
    size = (_ACROSS * _SIDE, down * (_SIDE + _LINES))
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for at, (file, *names) in enumerate(links):
        left, top = at % _ACROSS * _SIDE, at // _ACROSS * (_SIDE + _LINES)
        try:
            picture = decode(file.read_bytes(), names[0])
            sheet.paste(ImageOps.contain(picture, (_SIDE - 4, _SIDE - 4)), (left + 2, top + 2))
        except ImageError as error:
            names = [error.kind, names[1]]
        for line, name in enumerate(names):
            place = (left + 2, top + _SIDE + line * _LINES // 2)
            draw.text(place, _end(name), "black", font)
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out)


def _end(name: str) -> str:
    """Return the end of a path that a line has room for."""
    return name if len(name) <= _LETTERS else f"…{name[1 - _LETTERS :]}"
