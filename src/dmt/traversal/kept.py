"""Labels that an edit shall leave alone -> the directions on the manifold that go with them."""

import torch
from torch import Tensor

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
