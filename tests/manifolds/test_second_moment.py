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
        moment.add(moment.folded(column_blocks([part], part)))
    return moment.along(moment.folded(column_blocks([directions], directions)))


def unit(directions: torch.Tensor) -> torch.Tensor:
    return directions / directions.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("d", [1, 50, COLUMNS])
def test_it_is_exact_where_no_columns_are_summed(d):
    data, directions = vectors(20, d), unit(vectors(3, d))
    torch.testing.assert_close(estimates(data, directions), (data @ directions.T).square().sum(dim=0))


def spread(d: int) -> torch.Tensor:
    """Scales that are alike for columns that are summed, and very different for others: the worst of structures."""
    return 10 ** (torch.arange(d, dtype=torch.float64) % COLUMNS / COLUMNS * 4)


@pytest.mark.parametrize("structured", [False, True])
def test_it_has_no_bias_where_columns_are_summed(structured):
    d = 4 * COLUMNS + 100
    scales = spread(d) if structured else torch.ones(d).double()
    data, directions = vectors(50, d) * scales, unit(vectors(400, d) * scales)
    true = (data @ directions.T).square().sum(dim=0)
    errors = estimates(data, directions) - true
    assert abs(float(errors.mean())) < 4 * float(errors.std()) / len(directions) ** 0.5
    if not structured:
        assert float(errors.std()) < 1.2 / COLUMNS * float(data.square().sum()) / len(data) ** 0.5


def test_what_is_taken_out_again_leaves_nothing():
    data = vectors(5, COLUMNS + 3)
    moment = SecondMoment(data[0])
    for sign in (1, -1):
        moment.add(moment.folded(column_blocks([data], data)), sign)
    assert moment.matrix.abs().max() < 1e-12
