"""Other makers of counterfactuals for rows of tables: the nearest unlike neighbour, a straight line, DiCE, alibi."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.neighbors import NearestNeighbors

from dmt.data.tables import Table
from dmt.manifolds.columns import ColumnSpace

log = logging.getLogger(__name__)

ROUNDS = 50  # of DiCE's genetic search, which took five minutes a row with its 500
LESSONS = 500  # of the network that DiCE's gradients and alibi go through, each of all rows
TOWARDS = 10.0  # the weight of alibi's prototypes, as its documentation has it for tables
STEPS = 500  # of each of alibi's searches
ALPHAS = np.arange(0.05, 4.01, 0.05)  # of the straight line, in differences of means


def nearest_unlike(start: np.ndarray, points: np.ndarray, is_open: np.ndarray) -> np.ndarray:
    """The nearest of those points ``(m, K)`` that are open to each start ``(n, K)``."""
    found = NearestNeighbors(n_neighbors=1).fit(points[is_open]).kneighbors(start)[1][:, 0]
    return points[is_open][found]


def straight_line(
    start: np.ndarray, points: np.ndarray, is_target: np.ndarray, said: Callable[[np.ndarray], np.ndarray], level: float
) -> np.ndarray:
    """Along the difference of means just far enough that a classifier is as sure as ``level``; else to the end."""
    along = points[is_target].mean(axis=0) - points[~is_target].mean(axis=0)
    found, is_open = start + ALPHAS[-1] * along, np.ones(len(start), bool)
    for alpha in ALPHAS:
        moved = start + alpha * along
        arrived = is_open & (said(moved) >= level)
        found[arrived], is_open = moved[arrived], is_open & ~arrived
    return found


class _Model:
    """What DiCE asks: labels and probabilities of rows."""

    def __init__(self, space: ColumnSpace, said: Callable[[np.ndarray], np.ndarray]):
        self.space, self.said = space, said

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        sure = self.said(self.space.points(self.space.values(rows)).z.numpy())
        return np.stack([1 - sure, sure], axis=1)

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        return (self.predict_proba(rows)[:, 1] > 0.5).astype(int)


def _network(inputs: np.ndarray, is_target: np.ndarray) -> torch.nn.Module:
    """A network of one hidden layer that tells the sides apart, for a search along gradients."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(inputs.shape[1], 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=1e-4)
    x, y = torch.tensor(inputs), torch.from_numpy(is_target.astype(np.float32))
    for _ in range(LESSONS):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(network(x)[:, 0], y).backward()
        optimizer.step()
    return torch.nn.Sequential(network, torch.nn.Sigmoid()).requires_grad_(False)


def dice(
    method: str, table: Table, space: ColumnSpace, rows: pd.DataFrame, is_target: np.ndarray, said: Callable[..., Any]
) -> pd.DataFrame:
    """DiCE's first counterfactual of each row (Mothilal et al., FAT* 2020); the row itself where it finds none.

    Args:
        method: ``random``, ``genetic``, ``kdtree`` or ``gradient`` of the package dice-ml; the last asks a small
            network that learns here, not ``said``.
        table: that it learns ranges from.
        space: of the same.
        rows: to change.
        is_target: ``(n,)``, of the table's rows.
        said: points ``(n, K)`` -> how sure the classifier is, ``(n,)``.
    """
    import dice_ml

    names = [column.name for column in space.columns]
    numbers = [column.name for column in space.columns if column.kind != "category"]
    data = dice_ml.Data(
        dataframe=table.frame[names].assign(**{"dmt.side": is_target.astype(int)}),
        continuous_features=numbers,
        outcome_name="dmt.side",
    )
    if method == "gradient":
        inputs = data.get_ohe_min_max_normalized_data(table.frame[names]).to_numpy(np.float32)
        model = dice_ml.Model(model=_network(inputs, is_target), backend="PYT", func="ohe-min-max")
    else:
        model = dice_ml.Model(model=_Model(space, said), backend="sklearn")
    explainer = dice_ml.Dice(data, model, method=method)
    found = rows.copy()
    options: dict[str, Any] = {"genetic": {"maxiterations": ROUNDS}, "random": {"random_seed": 0}}.get(method, {})
    for row in range(len(rows)):
        try:
            silent = io.StringIO()
            with warnings.catch_warnings(), contextlib.redirect_stderr(silent), contextlib.redirect_stdout(silent):
                warnings.simplefilter("ignore")
                query = rows[names].iloc[[row]]
                told = explainer.generate_counterfactuals(query, total_CFs=1, desired_class=1, verbose=False, **options)
                made = told.cf_examples_list[0].final_cfs_df
        except Exception as error:  # its errors have no base class of their own; it found nothing
            log.debug("dice %s: %s", method, error)
            continue
        if made is not None and len(made):
            for name in names:
                found[name] = found[name].astype(object)
                found.loc[found.index[row], name] = made[name].iloc[0]
    for name in numbers:
        found[name] = pd.to_numeric(found[name])
    return found


def prototypes(start: np.ndarray, points: np.ndarray, is_target: np.ndarray) -> np.ndarray:
    """Alibi's counterfactuals guided by prototypes, here of k-d trees (Van Looveren and Klaise, ECML PKDD 2021).

    Args:
        start: ``(n, K)``, to change; what it finds nothing for stays as it is.
        points: ``(m, K)``, that a small network and the trees learn from.
        is_target: ``(m,)``, of these points.
    """
    import tensorflow
    from alibi.explainers import CounterfactualProto

    tensorflow.compat.v1.disable_v2_behavior()
    network = _network(points.astype(np.float32), is_target)

    def said(z: np.ndarray) -> np.ndarray:
        sure = network(torch.tensor(z, dtype=torch.float32)).numpy()
        return np.concatenate([1 - sure, sure], axis=1)

    ends = tuple(end[None].astype(np.float32) for end in (points.min(axis=0), points.max(axis=0)))
    shape = (1, points.shape[1])
    explainer = CounterfactualProto(
        said, shape, use_kdtree=True, theta=TOWARDS, feature_range=ends, max_iterations=STEPS, c_init=1.0, c_steps=5
    )
    explainer.fit(points.astype(np.float32))
    found = start.copy()
    for row, z in enumerate(start):
        told = explainer.explain(z[None].astype(np.float32), target_class=[1])
        if told.cf is not None:
            found[row] = told.cf["X"][0]
    return found
