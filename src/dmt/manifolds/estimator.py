"""Arrays or tensors of feature vectors, batch by batch -> their principal components, under scikit-learn's names."""

# ruff: noqa: N803, N806 - X is scikit-learn's name
import copy
import math
import numbers
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import Tensor

from dmt.manifolds.streaming import IncrementalPCA

OVERSAMPLING = 3  # that of IncrementalPCA
FEWEST = 256  # directions; ours: fewer are merged so often that it takes longer, and more is lost
ROWS = 256  # copied at a time


class StreamingPCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """PCA of rows that are seen once, in memory O(components x features), for scikit-learn's pipelines.

    ``dmt.manifolds.IncrementalPCA`` (Ross et al., IJCV 2008, by Gram matrices of rows, with more directions kept than
    wanted) with the methods, the attributes and the signs of scikit-learn's ``PCA``. NumPy arrays give NumPy arrays;
    tensors, on any device, give tensors there. What comes out has the type of what goes in: float32 or float64;
    float16 and bfloat16 give float32, whole numbers float64 (tensors: PyTorch's default).

    The sizes of the batches, be it ``batch_size`` or what ``partial_fit`` gets, change nothing. With D features, K
    components and C directions kept while fitting, memory is

    - while fitting: C x D, and up to C rows that wait (half of that, where float16 holds them exactly), and
      min(D, 8192)^2 for the estimate of what was lost;
    - after ``fit``: K x D. A later ``partial_fit`` goes on from these K directions;
    - after ``partial_fit``: all that is needed to go on. The first time that an attribute or a method wants the
      components, a copy of the fit is finished (for a moment once more C x D and min(D, 8192)^2), of which K x D stay
      until the next ``partial_fit``; the fit itself goes on as if nobody had looked. Look seldom.

    Args:
        n_components: how many components, from 1 to the number of features; a share of the variance in (0, 1); or
            ``None`` for as many as there are samples or features (for ``partial_fit``: in its first batch). Fewer are
            found where the data's rank, after centring, is lower: that is at most samples - 1.
        oversampling: how many directions are kept while fitting for each component wanted: more lose less. ``None``:
            3, or as many as make 256 directions.
        most: where ``n_components`` is a share, how many directions are kept while fitting; so many components are
            found at most, even if the share would need more.
        batch_size: how many rows ``fit`` and ``transform`` copy at a time. ``None``: 256.
        device: where to compute. ``None``: where the first data are, the processor for arrays.

    Attributes:
        components_: orthonormal rows ``(K, D)``, by falling variance. Of each, the entry farthest from 0 is positive.
        mean_: ``(D,)``.
        explained_variance_: ``(K,)``, with the divisor n - 1.
        explained_variance_ratio_: ``(K,)``, as shares of the variance of all features.
        singular_values_: ``(K,)``.
        n_components_: K, the components found.
        n_samples_seen_: rows since ``fit`` or the first ``partial_fit``.
        n_features_in_: D.
        batch_size_: the ``batch_size`` used.

    Raises:
        ValueError: (``fit``, ``partial_fit``) a parameter is out of its range, there are fewer samples or features than
            components, or the data are not two-dimensional, empty, or not finite. Its subclass ``NotFittedError``: the
            components are asked for before as many samples have been seen.

    Examples:
        >>> import numpy as np
        >>> from dmt.manifolds.estimator import StreamingPCA
        >>> rows = np.random.default_rng(0).normal(size=(1000, 50)) * np.arange(50, 0, -1)
        >>> pca = StreamingPCA(n_components=3)
        >>> for batch in np.split(rows, 20):
        ...     pca = pca.partial_fit(batch)
        >>> pca.transform(rows).shape, pca.inverse_transform(np.zeros((1, 3))).shape
        ((1000, 3), (1, 50))
        >>> [round(float(deviation)) for deviation in np.sqrt(pca.explained_variance_)]
        [52, 51, 50]
    """

    n_samples_seen_: int
    batch_size_: int
    _core: IncrementalPCA  # goes on with partial_fit
    _finished: IncrementalPCA | None  # it, or a copy of it, at its end; None where rows came after
    _gives_arrays: bool

    def __init__(
        self,
        n_components: int | float | None = None,
        *,
        oversampling: int | None = None,
        most: int = 1024,
        batch_size: int | None = None,
        device: torch.device | str | None = None,
    ):
        self.n_components = n_components
        self.oversampling = oversampling
        self.most = most
        self.batch_size = batch_size
        self.device = device

    def fit(self, X: Any, y: object = None) -> Self:
        """Fit to ``X (n, D)``, n of 2 or more, and forget what was fitted before.

        An array may be a memory map: ``batch_size`` rows are read at a time, once.
        """
        X = self._checked(X, reset=True, fewest=2)
        wanted = self._wanted(*X.shape)
        if wanted > len(X):
            raise ValueError(f"n_components={wanted} must not be more than the n_samples={len(X)} samples")
        core = self._begin(wanted, X)
        for batch in self._batches(X, self.device):
            core.partial_fit(batch)
        self._core = self._finished = _with_signs(core.finish())
        self.n_samples_seen_ = len(X)
        return self

    def partial_fit(self, X: Any, y: object = None) -> Self:
        """Take in a batch ``X (B, D)``, B of 1 or more; the components are computed when they are asked for."""
        is_first = not self.__sklearn_is_fitted__()
        X = self._checked(X, reset=is_first, fewest=1)
        if is_first:
            core, seen, device = self._begin(self._wanted(*X.shape), X), 0, self.device
        else:
            core, seen, device = self._core, self.n_samples_seen_, self._core.mean.device
        core.partial_fit(_as_rows(X, device))
        self._core, self._finished, self.n_samples_seen_ = core, None, seen + len(X)
        return self

    def transform(self, X: Any) -> Any:
        """Coordinates ``(n, K)`` of ``X (n, D)`` along the components, from the mean; autograd follows tensors."""
        model = self._model()
        X = self._checked(X, reset=False, fewest=1)
        codes = [_like(model.encode(batch.to(model.mean)), batch) for batch in self._batches(X, model.mean.device)]
        return _returned(torch.cat(codes), X)

    def inverse_transform(self, X: Any) -> Any:
        """Points ``(n, D)`` of the subspace, the mean included, that have the coordinates ``X (n, K)``."""
        model = self._model()
        if isinstance(X, Tensor):
            _check_tensor(X, 1, 0)
        else:
            X = check_array(X, dtype="numeric", ensure_all_finite=False, ensure_min_features=0)
        if X.shape[1] != len(model.components):
            raise ValueError(f"X has {X.shape[1]} columns, but there are {len(model.components)} components")
        codes = _as_rows(X, model.mean.device)
        return _returned(_like(torch.addmm(model.mean, codes.to(model.mean), model.components), codes), X)

    @property
    def components_(self) -> Any:
        return self._given(self._model().components)

    @property
    def mean_(self) -> Any:
        return self._given(self._model().mean)

    @property
    def explained_variance_(self) -> Any:
        return self._given(self._model().explained_variance)

    @property
    def explained_variance_ratio_(self) -> Any:
        return self._given(self._model().explained_variance_ratio)

    @property
    def singular_values_(self) -> Any:
        return self._given(self._model().singular_values)

    @property
    def n_components_(self) -> int:
        return len(self._model().components)

    @property
    def _n_features_out(self) -> int:  # for get_feature_names_out
        return self.n_components_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_core")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _checked(self, X: Any, reset: bool, fewest: int) -> Any:
        """An array or a tensor of at least ``fewest`` rows, of the known number of features, whatever its type."""
        if not isinstance(X, Tensor):
            return validate_data(
                self, X, reset=reset, dtype="numeric", ensure_all_finite=False, ensure_min_samples=fewest
            )
        _check_tensor(X, fewest, 1)
        if reset:
            self.n_features_in_ = X.shape[1]
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
        elif X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but StreamingPCA is expecting {self.n_features_in_} features as input"
            )
        return X

    def _wanted(self, n: int, d: int) -> int | float:
        """``n_components`` for data ``(n, d)``: a whole number, or a share."""
        wanted = self.n_components
        if wanted is None:
            return min(n, d)
        if _is_whole(wanted):
            if wanted > d:
                raise ValueError(f"n_components={wanted} must not be more than the n_features={d} features")
            return int(wanted)
        if not (isinstance(wanted, numbers.Real) and 0 < wanted < 1):
            raise ValueError(
                "n_components must be a whole number from 1 to the number of features, a share of the variance in "
                f"(0, 1), or None, got {wanted!r}"
            )
        return float(wanted)

    def _begin(self, wanted: int | float, X: Any) -> IncrementalPCA:
        for name, value in (("oversampling", self.oversampling), ("most", self.most), ("batch_size", self.batch_size)):
            if not (_is_whole(value) or (value is None and name != "most")):
                raise ValueError(f"{name} must be a whole number from 1, got {value!r}")
        self.batch_size_ = int(self.batch_size or ROWS)
        self._gives_arrays = not isinstance(X, Tensor)
        oversampling = self.oversampling or max(OVERSAMPLING, math.ceil(FEWEST / max(wanted, 1)))
        return IncrementalPCA(wanted, most=int(self.most), oversampling=int(oversampling))

    def _batches(self, X: Any, device: torch.device | str | None) -> Iterator[Tensor]:
        for first in range(0, len(X), self.batch_size_):
            yield _as_rows(X[first : first + self.batch_size_], device)

    def _model(self) -> IncrementalPCA:
        """The finished fit."""
        check_is_fitted(self)
        if self._finished is None:
            wanted = self._core.n_components
            if self.n_samples_seen_ < wanted:
                raise NotFittedError(
                    f"n_components={wanted} components need as many samples, partial_fit has seen n_samples="
                    f"{self.n_samples_seen_}; give it more, or ask for fewer components"
                )
            waiting = self._core._rows  # nobody writes to them: the copy may have the same
            self._finished = _with_signs(copy.deepcopy(self._core, {id(waiting): waiting}).finish())
        return self._finished

    def _given(self, value: Tensor) -> Any:
        """An attribute, in the type of the fit, as an array or a tensor, whichever was fitted."""
        value = value.to(self._model().mean)
        return value.cpu().numpy() if self._gives_arrays else value


def _is_whole(value: object) -> bool:
    """Whether a parameter is a whole number, NumPy's too, from 1."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= 1


def _check_tensor(X: Tensor, fewest_samples: int, fewest_features: int) -> None:
    """Raise a ``ValueError``, in scikit-learn's words, unless it is real, ``(n, d)``, and large enough."""
    if X.ndim != 2:
        raise ValueError(
            f"Expected 2D tensor, got {X.ndim}D tensor instead (shape={tuple(X.shape)}); flatten what a sample "
            "consists of: X.flatten(1)"
        )
    for what, size, fewest in (("sample", len(X), fewest_samples), ("feature", X.shape[1], fewest_features)):
        if size < fewest:
            raise ValueError(
                f"Found tensor with {size} {what}(s) (shape={tuple(X.shape)}) while a minimum of {fewest} is required"
            )
    if X.is_complex():
        raise ValueError("Complex data not supported")


def _as_rows(rows: Any, device: torch.device | str | None) -> Tensor:
    """Rows, of a type that PyTorch computes with, as a tensor on the device (by default where they are)."""
    if not isinstance(rows, Tensor):
        is_known = rows.dtype in (np.float16, np.float32, np.float64)
        rows = torch.from_numpy(np.require(rows, rows.dtype if is_known else np.float64, ["C", "W"]))
    elif not rows.is_floating_point():
        rows = rows.to(torch.get_default_dtype())
    if device is not None:
        rows = rows.to(device)
    if not rows.isfinite().all():
        raise ValueError("Input X contains NaN or infinity; leave such rows out, or impute what is missing")
    return rows


def _like(found: Tensor, rows: Tensor) -> Tensor:
    """What was found of rows, in their type, but float32 at least."""
    return found.to(torch.promote_types(rows.dtype, torch.float32))


def _returned(found: Tensor, X: Any) -> Any:
    """What was found, as an array if X is one, or else on the device of X."""
    return found.to(X.device) if isinstance(X, Tensor) else found.cpu().numpy()


def _with_signs(model: IncrementalPCA) -> IncrementalPCA:
    """Turn the components of a finished fit, in place, as scikit-learn does: the entry farthest from 0 is positive."""
    largest, smallest = model.components.amax(dim=1), model.components.amin(dim=1)
    model.components *= torch.where(largest >= -smallest, 1, -1)[:, None]
    return model
