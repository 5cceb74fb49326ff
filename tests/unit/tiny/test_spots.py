"""What image tokens are to say of places."""

import numpy as np
import torch

from matcg.tiny.lessons import Seen
from matcg.tiny.model import PATCH
from matcg.tiny.shapes import SIDE, boxes_of
from matcg.tiny.spots import Spots, cells_of


def test_cells_of_a_patch_are_where_its_token_stands():
    """The token of row r and column c sees the patch there, its cells row by row."""
    mask = np.zeros((1, SIDE, SIDE), dtype=bool)
    row, column, cell = 2, 1, Spots.CELL
    mask[0, row * PATCH : row * PATCH + cell, column * PATCH + cell : (column + 1) * PATCH] = True
    covered = cells_of(mask, cell)[0]
    across = SIDE // PATCH
    assert covered.nonzero().tolist() == [[row * across + column, 1], [row * across + column, 2]]


def test_the_loss_is_least_where_each_row_of_patches_says_its_edge():
    torch.manual_seed(0)
    places = torch.randn(SIDE + 1, 128)
    spots = Spots(places)
    masks = np.zeros((2, SIDE, SIDE), dtype=bool)
    masks[0, 5:11, 30:47] = True
    seen = Seen(np.zeros((2, SIDE, SIDE), np.uint8), masks, {"presence": np.array([0, 1])})
    across = SIDE // PATCH
    said = places[torch.from_numpy(boxes_of(masks))].repeat_interleave(across, dim=1)
    assert spots.edges(said)[0].argmax(dim=-1).tolist() == [30, 5, 47, 11]
    other = said[:, torch.arange(across * across).roll(across)]
    assert spots(said, seen) < spots(other, seen) - 1
