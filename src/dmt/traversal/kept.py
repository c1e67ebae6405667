"""Labels that an edit shall leave alone -> the directions on the manifold that go with them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dmt.data.catalogs import Catalog
from dmt.errors import UserError, nearest_name

SMALLEST = 1e-6  # of the largest singular value: below it directions are one (ours)


def kept_directions(points: Tensor, has: Tensor, contrast: Tensor) -> Tensor:
    """Orthonormal directions that change with labels where the contrast of the task does not, ``(r, K)``.

    Least squares of the points on the labels, the contrast and a constant; what the labels' coefficients span is
    returned. Ours: the sets of an edit differ in more than the task is about (frowning faces are men's more often), and
    matching them leaves a part of that; an edit that does not move along these directions leaves it alone.

    Args:
        points: ``(n, K)``; rows with NaN are left out.
        has: ``(n, L)``, 1 where a picture has a label and -1 where it has not.
        contrast: ``(n,)``, 1 for the target, -1 for the source, 0 for neither.
    """
    known = ~points.isnan().any(dim=1)
    regressors = torch.cat([has, contrast[:, None], torch.ones(len(has), 1)], dim=1).double()[known]
    found = torch.linalg.lstsq(regressors, points[known].double(), driver="gelsd").solution[: has.shape[1]]
    _, sizes, directions = torch.linalg.svd(found, full_matrices=False)
    return directions[sizes > SMALLEST * sizes.max().clamp_min(1e-30)]


def label_signs(catalog: Catalog, labels: Sequence[str], own_labels: Sequence[str]) -> Tensor:
    """1 where a picture of the catalog has a label and -1 where it has not, ``(n, L)``.

    Args:
        catalog: the pictures.
        labels: that shall be kept.
        own_labels: that the task changes.

    Raises:
        UserError: a label is unknown or the task's own.
    """
    known = {label.lower() for label in catalog.labels}
    own = {label.lower() for label in own_labels}
    for label in labels:
        if label.lower() not in known:
            raise UserError(f"keep names {label!r}: there is no such label{nearest_name(label, catalog.labels)}")
        if label.lower() in own:
            raise UserError(f"keep names {label!r}, which the task is there to change; leave it out")
    columns = [np.where(catalog.scores(label) > 0, 1.0, -1.0) for label in labels]
    return torch.from_numpy(np.stack(columns, axis=1))
