"""What is done to batches, by arithmetic done otherwise."""

import numpy as np
import pytest
import torch
from torch import nn

from dmt.studies.within.learning import Mixup, Moved, Recipe, accuracy, batches


def some(n=6, side=8):
    return torch.rand(n, 3, side, side), torch.eye(n)


def test_what_is_moved_is_a_crop_of_the_mirrored_border_flipped_or_not():
    images, labels = some()
    moved, kept = Moved(shift=0.25, degrees=0, flip=True)((images, labels), np.random.default_rng(0))
    wide = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="symmetric")
    seen = set()
    for i, result in enumerate(moved.numpy()):
        crops = {(y, x, flip): wide[i, :, y : y + 8, x : x + 8] for y in range(5) for x in range(5) for flip in (0, 1)}
        found = [
            at for at, crop in crops.items() if np.allclose(crop[:, :, ::-1] if at[2] else crop, result, atol=1e-5)
        ]
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) > 1
    assert {flip for _, _, flip in seen} == {0, 1}
    assert torch.equal(kept, labels)


def test_without_shift_turn_or_flip_nothing_moves_and_a_quarter_turn_is_one():
    images, labels = some()
    still, _ = Moved(shift=0, degrees=0, flip=False)((images, labels), np.random.default_rng(0))
    torch.testing.assert_close(still, images)

    class Most:
        def uniform(self, low, high, shape):
            return np.ones(shape)

    turned, _ = Moved(shift=0, degrees=90, flip=False)((images, labels), Most())
    quarters = [torch.rot90(images, times, (2, 3)) for times in (1, 3)]
    assert any(torch.allclose(turned, one, atol=1e-5) for one in quarters)


def test_mixup_mixes_pictures_as_it_mixes_their_labels():
    values = torch.tensor([0.0, 0.25, 0.5, 1.0])
    images = values[:, None, None, None].expand(4, 3, 2, 2)
    mixed, labels = Mixup(alpha=1.0)((images, torch.eye(4)), np.random.default_rng(0))
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(4))
    torch.testing.assert_close(mixed[:, 0, 0, 0], labels @ values)
    assert ((labels > 0.01) & (labels < 0.99)).any()


def test_half_of_every_batch_was_made():
    real, made = (
        (torch.zeros(3, 3, 2, 2), torch.tensor([[1.0, 0]] * 3)),
        (torch.ones(5, 3, 2, 2), torch.tensor([[0, 1.0]] * 5)),
    )
    images, labels = next(batches(real, made, [], 10, np.random.default_rng(0)))
    assert images[:, 0, 0, 0].tolist() == [0] * 5 + [1] * 5
    assert labels.argmax(dim=1).tolist() == [0] * 5 + [1] * 5
    images, _ = next(batches(real, None, [], 10, np.random.default_rng(0)))
    assert not images.any()


def test_a_classifier_learns_what_can_be_told_apart():
    inputs, labels = torch.tensor([[-1.0], [1.0]]), torch.eye(2)
    network = nn.Linear(1, 2)
    Recipe(steps=50, batch_size=2, learning_rate=0.1).fit(network, iter([(inputs, labels)] * 50))
    assert accuracy(network, torch.tensor([[-3.0], [2.0], [0.5], [4.0]]), torch.tensor([0, 1, 1, 0])) == pytest.approx(
        75
    )
