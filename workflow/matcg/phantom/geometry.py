"""Frames: where each pixel of a batch of pictures lies, seen from a body, an organ or a lesion."""

from dataclasses import dataclass

import numpy as np

from matcg.phantom.arithmetic import Floats, divide, rotation
from matcg.phantom.strength import SIZE


def grid() -> tuple[Floats, Floats]:
    """Return x (1, 1, SIZE) and y (1, SIZE, 1) of pixel centres, from -1 to 1, y downwards."""
    line = (np.arange(SIZE, dtype=np.float32) + np.float32(0.5)) * np.float32(2 / SIZE)
    line = line - np.float32(1)
    return line[None, None, :], line[None, :, None]


@dataclass(frozen=True, slots=True)
class Frame:
    """An affine map (u, v) of the picture's coordinates for each picture, all of shape (n,)."""

    u: tuple[Floats, Floats, Floats]  # factors of x and y, constant
    v: tuple[Floats, Floats, Floats]

    def inner(
        self, x: Floats, y: Floats, half_tangent: Floats, width: Floats, height: Floats
    ) -> "Frame":
        """Return the frame of something at (x, y) in this one, turned, with the given half axes."""
        cosine, sine = rotation(half_tangent)
        (ux, uy, u0), (vx, vy, v0) = self.u, self.v
        u0, v0 = u0 - x, v0 - y
        pairs = ((ux, vx), (uy, vy), (u0, v0))
        u = [divide(a * cosine + b * sine, width) for a, b in pairs]
        v = [divide(b * cosine - a * sine, height) for a, b in pairs]
        return Frame((u[0], u[1], u[2]), (v[0], v[1], v[2]))

    def coordinates(self) -> tuple[Floats, Floats]:
        """Return u and v of every pixel, each (n, SIZE, SIZE)."""
        x, y = grid()
        u, v = (
            (fx[:, None, None] * x + constant[:, None, None]) + fy[:, None, None] * y
            for fx, fy, constant in (self.u, self.v)
        )
        return u, v


def picture_frame(n: int) -> Frame:
    """Return the frame of `n` pictures themselves."""
    zero, one = np.zeros(n, dtype=np.float32), np.ones(n, dtype=np.float32)
    return Frame((one, zero, zero), (zero, one, zero))
