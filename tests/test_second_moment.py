"""Sums of squares along directions, from folded vectors, against the vectors themselves."""

import pytest
import torch

from dmt.manifolds.rows import COLUMNS, column_blocks
from dmt.manifolds.second_moment import SecondMoment


def vectors(n: int, d: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(n), dtype=torch.float64)


def estimates(data: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    moment = SecondMoment(data[0])
    for part in data.split(7):
        moment.add(moment.folded(column_blocks(part)), float(part.square().sum()))
    return moment.along(moment.folded(column_blocks(directions)))


def unit(directions: torch.Tensor) -> torch.Tensor:
    return directions / directions.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("d", [1, 50, COLUMNS])
def test_it_is_exact_where_no_columns_are_summed(d):
    data, directions = vectors(20, d), unit(vectors(3, d))
    torch.testing.assert_close(estimates(data, directions), (data @ directions.T).square().sum(dim=0))


def test_it_has_no_bias_and_the_deviation_it_says_where_columns_are_summed():
    data, directions = vectors(50, 4 * COLUMNS + 100), unit(vectors(400, 4 * COLUMNS + 100))
    errors = estimates(data, directions) - (data @ directions.T).square().sum(dim=0)
    deviation = 2 / COLUMNS * float(data.square().sum()) / len(data) ** 0.5
    assert float(errors.std()) < 1.2 * deviation
    assert abs(float(errors.mean())) < 4 * deviation / len(directions) ** 0.5


def test_what_is_taken_out_again_leaves_nothing():
    data = vectors(5, COLUMNS + 3)
    moment = SecondMoment(data[0])
    for sign in (1, -1):
        moment.add(moment.folded(column_blocks(data)), 1.0, sign)
    assert moment.squares == 0
    assert moment.matrix.abs().max() < 1e-12
