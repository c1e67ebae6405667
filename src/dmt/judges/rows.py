"""Rows of a table -> how sure a classifier is that they are of the target: one that is learnt, or the user's own."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dmt.errors import UserError
from dmt.judges.onnx import session_of
from dmt.networks.any_backbone import imported

RowJudge = Callable[[Callable[[], pd.DataFrame], np.ndarray], np.ndarray]
"""What writes rows, and their points ``(n, K)`` -> probabilities of the target, ``(n,)``."""


def learnt_judge(points: np.ndarray, is_target: np.ndarray, seed: int = 0) -> RowJudge:
    """Random forest and logistic regression, whose probabilities are averaged (scikit-learn).

    Ours: what two unlike classifiers agree on is what a third is likelier to confirm.

    Args:
        points: ``(n, K)``, of held-out rows of both sides.
        is_target: ``(n,)`` of bool.
        seed: of the forest.
    """
    from sklearn.ensemble import RandomForestClassifier, VotingClassifier
    from sklearn.linear_model import LogisticRegression

    forest = RandomForestClassifier(100, min_samples_leaf=2, random_state=seed)
    models = [("forest", forest), ("logistic", LogisticRegression(C=0.1, max_iter=1000))]
    model = VotingClassifier(models, voting="soft").fit(points, is_target)
    return lambda rows, points: model.predict_proba(points)[:, 1]


def given_judge(where: str, columns: Sequence[str], target: str, classes: Sequence[Any] | None = None) -> RowJudge:
    """A user's own classifier.

    Args:
        where: ``my_package.models:build``, a function that makes an object with ``predict_proba`` of a DataFrame (what
            scikit-learn trains), or an ``.onnx`` file with an input a column, or one of all columns as numbers.
        columns: those that it reads, in the table's order.
        target: the class whose probability is asked for.
        classes: its classes in order; ``None``: as it says itself.

    Raises:
        UserError: there is no such classifier, or it does not know the target.
    """
    if where.lower().endswith(".onnx"):
        from pathlib import Path

        session = session_of(Path(where).expanduser())
        inputs = session.get_inputs()

        def said(rows: pd.DataFrame) -> Any:
            if len(inputs) == 1:
                given = {inputs[0].name: rows.to_numpy(np.float64 if "double" in inputs[0].type else np.float32)}
            else:
                kinds = {"tensor(string)": object, "tensor(int64)": np.int64, "tensor(double)": np.float64}
                given = {one.name: rows[[one.name]].to_numpy(kinds.get(one.type, np.float32)) for one in inputs}
            return session.run(None, given)[-1]

    else:
        model = imported(where)()
        classes = getattr(model, "classes_", None) if classes is None else classes

        def said(rows: pd.DataFrame) -> Any:
            return model.predict_proba(rows)

    def judge(rows: Callable[[], pd.DataFrame], points: np.ndarray) -> np.ndarray:
        try:
            found = said(rows()[list(columns)])
        except Exception as error:  # whatever a user's classifier raises
            raise UserError(
                f"task.classifier={where} does not take these rows ({str(error).splitlines()[0]})"
            ) from error
        if isinstance(found, list):  # of an ONNX file from scikit-learn: a dictionary a row
            names, found = list(found[0]), np.array([list(one.values()) for one in found])
        else:
            names = list(range(found.shape[-1])) if classes is None else list(classes)
        known = [str(name) for name in names]
        if found.ndim != 2 or found.shape[1] != len(known) or target not in known:
            raise UserError(
                f"task.classifier={where} says {', '.join(known)}, not {target}; name them: task.classes=[...]"
            )
        return found[:, known.index(target)]

    return judge
