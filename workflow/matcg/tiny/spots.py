"""Places that image tokens are taught to say: the edges of a form, and the cells it covers."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from matcg.tiny.lessons import Seen
from matcg.tiny.model import PATCH
from matcg.tiny.shapes import SIDE

# Of the scores of words and places: unit embeddings of 128 numbers are far apart.
SHARPNESS = 4.0


class Spots(nn.Module):
    """Reads places off image tokens, so that they come to say them.

    The mean token of each row of patches lies near the embedding of one edge of the box, as words
    do in stage 2: x1 in the first row, then y1, x2 and y2. Which cells of its patch the form covers
    is told from each single token, by a layer that is thrown away.
    """

    CELL = 4  # pixels
    BLUR = 1.0  # pixels: how wrong an edge is is told by how far off it is

    def __init__(self, places: Tensor) -> None:
        super().__init__()
        self.places = places
        self.cells = nn.Linear(places.shape[1], (PATCH // self.CELL) ** 2)

    def edges(self, tokens: Tensor) -> Tensor:
        """Return the scores (n, 4, 49) of each edge, from tokens (n, patches, width)."""
        rows = tokens.unflatten(1, (4, -1)).mean(dim=2)
        scores: Tensor = rows @ self.places.T / SHARPNESS
        return scores

    def forward(self, tokens: Tensor, seen: Seen) -> Tensor:
        """Return the mean cross-entropy of edges and of cells, from tokens (n, patches, width)."""
        there = torch.from_numpy(seen.values["presence"] == 0)
        off = torch.arange(SIDE + 1) - torch.from_numpy(seen.boxes)[there][:, :, None]
        target = torch.softmax(-0.5 * (off / self.BLUR) ** 2, dim=-1)
        scores = self.edges(tokens)[there]
        told = functional.cross_entropy(scores.flatten(0, 1), target.flatten(0, 1))
        covered = cells_of(seen.masks, self.CELL)
        cells = functional.binary_cross_entropy_with_logits(self.cells(tokens), covered)
        loss: Tensor = 0.5 * told + cells
        return loss


def cells_of(masks: NDArray[np.bool_], cell: int) -> Tensor:
    """Return which cells of each patch are covered by half or more (n, patches, cells)."""
    n, k, c = len(masks), SIDE // PATCH, PATCH // cell
    parts = torch.from_numpy(masks).float().view(n, k, c, cell, k, c, cell).mean(dim=(3, 6))
    return (parts >= 0.5).float().permute(0, 1, 3, 2, 4).reshape(n, k * k, c * c)
