"""Labelled pictures -> more of the same classes, made by walking from each towards its neighbours on the manifold."""

from dataclasses import dataclass, replace

import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from dmt.data import ImageBatch, Sets
from dmt.editing.comparison import Contrasts
from dmt.editing.editor import Editor
from dmt.manifolds import Space, Span
from dmt.networks.extractor import FeatureExtractor
from dmt.traversal.witness import Witness, WitnessBatch


@dataclass(frozen=True)
class Walked:
    """Pictures made on the way from one picture of a class to another.

    Args:
        images: ``(m, 3, H, W)`` in [0, 1].
        first: ``(m,)``, positions of the pictures where the walks began.
        second: ``(m,)``, positions of the neighbours that they were headed for.
        share: ``(m,)``, how much of the straight way d between the two's points they themselves lie at:
            ``<z - z_first, d> / <d, d>``.
    """

    images: Tensor
    first: Tensor
    second: Tensor
    share: Tensor

    def mixed(self, images: Tensor) -> Tensor:
        """The same pairs mixed in pixels instead, as far as the pictures went: ``(m, 3, H, W)`` of ``(n, 3, H, W)``."""
        share = self.share.clamp(0, 1).to(images)[:, None, None, None]
        return (1 - share) * images[self.first] + share * images[self.second]


def neighbours_within(z: Tensor, labels: Tensor, k: int) -> Tensor:
    """The k nearest others of the same class of each point, nearest first: ``(n, K)`` and ``(n,)`` -> ``(n, k)``.

    >>> neighbours_within(torch.tensor([[0.0], [1.0], [1.1], [3.0]]), torch.tensor([0, 0, 1, 0]), 1).tolist()[:2]
    [[1], [0]]
    """
    found = torch.full((len(z), k), -1)
    for label in labels.unique():
        members = (labels == label).nonzero()[:, 0]
        if len(members) > k:
            near = NearestNeighbors(n_neighbors=k).fit(z[members].numpy()).kneighbors(return_distance=False)
            found[members] = members[torch.from_numpy(near)]
    return found


def witnesses_within(z: Tensor, labels: Tensor, editor: Editor) -> list[Witness]:
    """For each point the witness whose target it alone is; the source is the rest of its class."""
    kernel, weighting = editor.comparison.kernel, editor.comparison.weighting
    rest = labels[:, None] == labels
    rest.fill_diagonal_(False)
    return [Witness(kernel, z[others], z[None, own], weighting) for own, others in enumerate(rest)]


def walked(
    images: Tensor, labels: Tensor, *, editor: Editor, extractor: FeatureExtractor, k: int, lam: float, batch_size: int
) -> Walked:
    """Walk from each picture towards each of its k nearest neighbours of the same class, and make what lies there.

    The manifold is the span of the pictures that are given, and nothing else is known. (Ours: the paper only names
    the thought. Towards all k neighbours at once a picture would give one other picture; towards each, k.)

    Args:
        images: ``(n, 3, H, W)`` in [0, 1].
        labels: ``(n,)``; every class has more than k pictures.
        editor: whose method walks and whose inverter makes the pictures.
        extractor: pictures -> features.
        k: neighbours of each.
        lam: lambda'; infinite: the pictures themselves come back.
        batch_size: pictures that are made at a time.
    """
    with torch.no_grad():
        span = Span().to(images.device)
        for part in images.split(batch_size):
            span.partial_fit(extractor.vectors(part).half().float())
        span.finish()
    z = span.codes.double()
    space = Space(extractor, span, span.codes, span.codes)
    first = torch.arange(len(images)).repeat_interleave(k)
    second = neighbours_within(z, labels.cpu(), k).flatten()
    witnesses = WitnessBatch(witnesses_within(z, labels.cpu(), editor), second)
    lams = torch.full((len(first),), lam, dtype=z.dtype)
    inverter = replace(editor.inverter, on_progress=None)
    module = editor.method(space, Contrasts([], witnesses, _no_mean_pictures), lams, inverter).to(images.device)
    made, arrived = list[Tensor](), list[Tensor]()
    for rows in torch.arange(len(first)).split(batch_size):
        batch = ImageBatch(images[first[rows]], rows.tolist(), [str(row) for row in rows.tolist()], [])
        edited = module.predict_step(batch, 0)
        made.append(edited.inversion.images)
        arrived.append(edited.arrived)
    gone = torch.cat(arrived) - z[first]
    way = z[second] - z[first]
    return Walked(torch.cat(made), first, second, (gone * way).sum(dim=1) / way.square().sum(dim=1))


def _no_mean_pictures(sets: Sets) -> tuple[Tensor, Tensor]:
    raise AssertionError("a walk within a class has no two sets")
