"""Places as points, against NumPy's PCA of the same rows, means of cells by hand, and the laws of affine maps."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dmt.errors import UserError
from dmt.manifolds import Places
from dmt.networks.extractor import FeatureLayout

laws = settings(deadline=None, max_examples=20, derandomize=True)

SHAPES = {"fine": (3, 8, 8), "middle": (5, 4, 4), "coarse": (7, 2, 2)}
GRID = (4, 4)
ALIKE = {"low": (3, 4, 4), "high": (5, 4, 4)}  # every layer has the grid's places


def activations(shapes=SHAPES, n: int = 2, seed: int = 0) -> dict[str, Tensor]:
    """Channels of very different means and deviations, in float32."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for layer, (channels, height, width) in shapes.items():
        deviations = 10 ** torch.linspace(-1, 0.5, channels)
        noise = torch.randn(n, channels, height, width, generator=generator)
        found[layer] = 2 + deviations[:, None, None] * noise
    return found


def fitted(shapes=SHAPES, channels: int = 2, grid: int | None = 4, position: float = 0.0) -> Places:
    places = Places(channels=channels, grid=grid, position=position)
    return places.fitted(shapes, places.sampled(activations(shapes, 30, seed=9), 1000).flatten(0, 1))


def change(shapes=SHAPES, n: int = 2, seed: int = 1) -> dict[str, Tensor]:
    return {layer: value - 2 for layer, value in activations(shapes, n, seed).items()}


def added(first: dict[str, Tensor], second: dict[str, Tensor]) -> dict[str, Tensor]:
    return {layer: first[layer] + second[layer] for layer in first}


def by_hand(found: dict[str, Tensor]) -> np.ndarray:
    """Rows (picture, row, column) of all channels of SHAPES on 4 x 4 places: means of cells, copies, lines between."""
    fine = found["fine"].numpy().reshape(-1, 3, 4, 2, 4, 2).mean(axis=(3, 5))
    # Two centres of pixels that are two places wide lie at 1/2 and 5/2 of the places 0 ... 3, and beyond are copies
    weights = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    coarse = np.einsum("ri,sj,bcij->bcrs", weights, weights, found["coarse"].numpy())
    maps = np.concatenate([fine, found["middle"].numpy(), coarse], axis=1)
    return maps.transpose(0, 2, 3, 1).reshape(len(maps), 16, -1)


# The grid


@pytest.mark.parametrize(
    ("grid", "shapes", "expected"),
    [
        (None, {"a": (3, 32, 32), "b": (3, 16, 16), "c": (3, 8, 8)}, (8, 8)),
        (None, {"c": (3, 4, 4), "a": (3, 17, 17), "b": (3, 2, 2)}, (4, 4)),  # 16 places are not too few
        (None, {"a": (3, 3, 3), "b": (3, 2, 2)}, (3, 3)),  # where all have fewer: the finest
        (None, {"a": (3, 9, 12)}, (9, 12)),
        (5, {"a": (3, 16, 16), "b": (3, 8, 8)}, (5, 5)),
        (20, {"a": (3, 8, 8)}, (20, 20)),
        (6, {"a": (3, 9, 12)}, (6, 8)),
        (1, {"a": (3, 4, 16)}, (1, 4)),
    ],
)
def test_the_grid_is_that_of_the_coarsest_layer_that_has_enough_places_or_has_the_side_asked_for(
    grid, shapes, expected
):
    assert Places(grid=grid).shape_for(shapes) == expected


def test_layers_are_brought_to_the_grid_by_means_of_cells_and_by_straight_lines():
    found = activations()
    rows = Places(grid=4).sampled(found, 16)
    np.testing.assert_allclose(rows[..., :-2], by_hand(found), rtol=1e-5, atol=1e-5)
    lines = [-1, -1 / 3, 1 / 3, 1]
    np.testing.assert_allclose(rows[0, :, -2:], [[y, x] for y in lines for x in lines], atol=1e-6)


def test_some_places_of_each_picture_are_drawn_none_twice_and_the_same_for_the_same_seed():
    found = activations(n=5)
    whole = by_hand(found)
    drawn, again = (Places(grid=4).sampled(found, 6, torch.Generator().manual_seed(3)) for _ in range(2))
    other = Places(grid=4).sampled(found, 6, torch.Generator().manual_seed(4))
    assert drawn.shape == (5, 6, 17)
    assert drawn.equal(again)
    assert not drawn.equal(other)
    chosen = []
    for picture, rows in zip(whole, drawn[..., :-2].numpy(), strict=True):
        places = [np.flatnonzero(np.isclose(picture, row, atol=1e-5).all(axis=1)).item() for row in rows]
        assert len(set(places)) == 6
        chosen.append(tuple(places))
    assert len(set(chosen)) > 1, "each picture has places of its own"


def test_where_there_are_fewer_places_all_are_taken():
    assert Places(grid=4).sampled(activations(), 100).shape == (2, 16, 17)


# The components


@pytest.mark.parametrize("channels", [1, 3, 32])
def test_each_layer_is_in_its_principal_components_with_a_total_variance_of_one(channels):
    found = activations(n=30, seed=9)
    places = fitted(channels=channels)
    rows = by_hand(found).reshape(480, 15)
    z = places.project(Places(grid=4).sampled(found, 16).flatten(0, 1)).numpy()
    first, first_z = 0, 0
    for n_channels, _, _ in SHAPES.values():
        part = rows[:, first : first + n_channels]
        centred = part - part.mean(axis=0)
        kept = min(channels, n_channels)
        _, singular, components = np.linalg.svd(centred, full_matrices=False)
        expected = centred @ components[:kept].T / np.sqrt((singular[:kept] ** 2).sum() / len(rows))
        own = z[:, first_z : first_z + kept]
        signs = np.sign((own * expected).sum(axis=0))
        np.testing.assert_allclose(own, signs * expected, atol=2e-4)
        assert own.var(axis=0).sum() == pytest.approx(1, abs=1e-4)
        assert (np.diff(own.var(axis=0)) <= 0).all()
        first, first_z = first + n_channels, first_z + kept
    assert first_z == z.shape[1]


def test_fitting_leaves_what_was_fitted_alone():
    empty = Places(channels=2, grid=4)
    places = empty.fitted(SHAPES, empty.sampled(activations(n=30), 16).flatten(0, 1))
    assert empty.layers == ()
    assert not list(empty.buffers())
    assert places.layers == tuple(SHAPES)
    assert places.shape == GRID


def test_all_places_of_pictures_are_the_same_points_as_their_rows():
    places, found = fitted(), activations(n=3, seed=5)
    rows = places.sampled(found, 16).flatten(0, 1)
    torch.testing.assert_close(places.points(found).double(), places.project(rows), atol=1e-4, rtol=1e-4)


# Points and changes


@laws
@given(seed=st.integers(0, 1000))
def test_points_move_as_the_linear_part_says(seed):
    places, found, by = fitted(), activations(seed=seed), change(seed=seed + 1)
    moved = places.points(added(found, by)) - places.points(found)
    torch.testing.assert_close(moved, places.linear(by), atol=1e-4, rtol=1e-4)


def test_the_linear_part_is_linear():
    places, first, second = fitted(), change(seed=1), change(seed=2)
    sums = {layer: 3 * first[layer] - 2 * second[layer] for layer in first}
    expected = 3 * places.linear(first) - 2 * places.linear(second)
    torch.testing.assert_close(places.linear(sums), expected, atol=1e-4, rtol=1e-4)


@laws
@given(seed=st.integers(0, 1000))
def test_where_all_is_kept_the_way_back_is_exact(seed):
    places = fitted(ALIKE, channels=32)
    delta = torch.randn(2 * 16, 8, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(places.linear(places.changes(delta, ALIKE)), delta, atol=1e-4, rtol=1e-4)
    found = change(ALIKE, seed=seed)
    back = places.changes(places.linear(found), ALIKE)
    for layer, value in found.items():
        torch.testing.assert_close(back[layer], value, atol=1e-4, rtol=1e-4)


def test_what_is_not_kept_does_not_change():
    places = fitted(ALIKE, channels=2)
    delta = torch.randn(2 * 16, 4, generator=torch.Generator().manual_seed(0))
    changes = places.changes(delta, ALIKE)
    torch.testing.assert_close(places.linear(changes), delta, atol=1e-4, rtol=1e-4)
    for value in changes.values():
        assert np.linalg.matrix_rank(value.transpose(0, 1).flatten(1).numpy(), tol=1e-3) == 2


def test_a_coarser_layer_moves_by_the_mean_of_its_places_and_a_finer_one_by_lines_between_them():
    places = fitted(channels=32)
    delta = torch.randn(16, 15, generator=torch.Generator().manual_seed(0))
    changes = places.changes(delta, SHAPES)
    assert {layer: tuple(value.shape[1:]) for layer, value in changes.items()} == SHAPES
    maps = delta.numpy().reshape(4, 4, 15)
    back = [places.get_buffer(f"back_{i}").numpy() for i in range(3)]
    coarse = maps[:, :, 8:].reshape(2, 2, 2, 2, 7).mean(axis=(1, 3)) @ back[2].T
    np.testing.assert_allclose(changes["coarse"][0].permute(1, 2, 0), coarse, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(changes["middle"][0].permute(1, 2, 0), maps[:, :, 3:8] @ back[1].T, rtol=1e-3, atol=1e-4)
    # Of the finer layer the centres of pixels lie a quarter of a place beside those of the places
    corner = maps[0, 0, :3] @ back[0].T
    between = (9 * maps[1, 1, :3] + 3 * maps[1, 2, :3] + 3 * maps[2, 1, :3] + maps[2, 2, :3]) / 16 @ back[0].T
    np.testing.assert_allclose(changes["fine"][0, :, 0, 0], corner, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(changes["fine"][0, :, 3, 3], between, rtol=1e-3, atol=1e-4)


def test_each_picture_moves_for_itself():
    places = fitted()
    delta = torch.randn(3 * 16, 6, generator=torch.Generator().manual_seed(0))
    delta[16:32] = 0
    changes = places.changes(delta, SHAPES)
    alone = places.changes(delta[32:], SHAPES)
    for layer, value in changes.items():
        assert not value[1].any()
        torch.testing.assert_close(value[2], alone[layer][0])


def test_layers_are_found_by_name_in_any_order():
    places, found = fitted(), activations()
    backwards = dict(reversed(found.items()))
    assert places.points(backwards).equal(places.points(found))
    assert list(FeatureLayout.of(backwards).shapes) != list(places.layers)


# Where places lie


@pytest.mark.parametrize("position", [0.5, 2.0])
def test_where_a_place_lies_is_two_more_numbers_that_do_not_move(position):
    plain, places, found, by = fitted(), fitted(position=position), activations(), change()
    points = places.points(found)
    assert points[:, :-2].equal(plain.points(found))
    lines = torch.linspace(-position, position, 4)
    torch.testing.assert_close(points[:16, -2:], torch.cartesian_prod(lines, lines))
    assert points[16:, -2:].equal(points[:16, -2:])
    assert not places.linear(by)[:, -2:].any()
    delta = torch.randn(2 * 16, 8, generator=torch.Generator().manual_seed(0))
    for layer, value in places.changes(delta, SHAPES).items():
        assert value.equal(plain.changes(delta[:, :-2], SHAPES)[layer])
    assert places.fixed.equal(torch.eye(8).double()[-2:])
    assert plain.fixed is None


# What cannot be


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 0}, "manifold.channels must be a whole number above 0, got 0"),
        ({"channels": 2.5}, "manifold.channels .* got 2.5"),
        ({"grid": 0}, "manifold.grid must be null or a whole number above 0, got 0"),
        ({"pictures": 1}, "manifold.pictures must be a whole number above 1, got 1"),
        ({"points": "many"}, "manifold.points must be a whole number above 1, got many"),
        ({"unit": 0}, "manifold.unit must be a number above 0, got 0"),
        ({"unit": -1.0}, "manifold.unit .* got -1.0"),
        ({"unit": "half"}, "manifold.unit .* got 'half'"),
        ({"unit": float("inf")}, "manifold.unit .* got inf"),
    ],
)
def test_a_bad_setting_is_an_error_that_names_it(settings, message):
    with pytest.raises(UserError, match=message):
        Places(**settings)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4])
def test_a_layer_that_is_the_same_everywhere_is_an_error_that_names_it(value):
    found = activations(ALIKE, n=7)
    found["high"] = torch.full_like(found["high"], value)
    with pytest.raises(UserError, match="layer 'high' is the same at every place of both sides"):
        Places().fitted(ALIKE, Places().sampled(found, 16).flatten(0, 1))
