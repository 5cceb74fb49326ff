"""Why a file is no picture that can be shown, and how large one may be."""

from matcg.errors import DataError

# Whole-slide scans reach gigapixels; a question about one picture never needs more than this.
MAX_PIXELS = 64_000_000
MAX_BYTES = 512 * 2**20  # of decoded samples: those of colour pictures of many bits take more


class ImageError(DataError):
    """A file that cannot be used as an image; `kind` is the countable part of the reason."""

    def __init__(self, kind: str, where: str, detail: str) -> None:
        super().__init__(f"{where}: {kind}: {detail}")
        self.kind = kind
        self.detail = detail


def require_size(width: int, height: int, where: str, bytes_each: int = 1) -> None:
    """Raise ImageError for more pixels, or bytes of decoded pixels, than are held in memory."""
    size = f"{width} x {height} pixels"
    if width * height > MAX_PIXELS:
        detail = f"{size} exceed the limit of {MAX_PIXELS}; scale the image down"
        raise ImageError("image too large", where, detail)
    if width * height * bytes_each > MAX_BYTES:
        detail = f"{size} of {bytes_each} bytes exceed {MAX_BYTES} bytes; scale the image down"
        raise ImageError("image too large", where, detail)


def not_shown(where: str, what: str) -> ImageError:
    """Return the error about a sound file whose samples no picture can be made of for certain."""
    return ImageError("image not shown", where, f"{what}; save it as 8- or 16-bit grey or RGB")
