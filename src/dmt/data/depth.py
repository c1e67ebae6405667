"""The numbers that a picture stores -> which of them is white."""

import numpy as np

WHITES = (1.0, 255.0, 65535.0)
OUTLIERS = 0.001  # share of the pixels, at either end, that do not decide (ours)
MOST_LOOKED_AT = 2**20  # pixels, drawn from a larger picture (ours)


def white_of(values: np.ndarray) -> float:
    """The stored value of white; black is 0.

    Of bool it is 1, of uint8 255, of uint16 65535. Floats, signed numbers and those of 32 bits do not say: white is
    the least of 1 (of floats only), 255 and 65535 that all but a thousandth of the pixels keep to. Floats may go to
    twice as much, for resampling and highlights overshoot. What is no number decides nothing. Ours.

    >>> white_of(np.array([0.2, 0.5, 1.02])), white_of(np.array([3.5, 200.0])), white_of(np.array([300, 300]))
    (1.0, 255.0, 65535.0)

    Raises:
        ValueError: the values do not begin at 0, go beyond 65535, or none is a number.
    """
    if values.dtype == bool:
        return 1.0
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        return float(np.iinfo(values.dtype).max)
    low, high = _range(values)
    is_float = values.dtype.kind == "f"
    slack = 2 if is_float else 1
    white = next((white for white in WHITES[0 if is_float else 1 :] if high <= slack * white), None)
    if white is None:
        raise ValueError(f"its values reach {high:.3g}, and white is 1, 255 or 65535; scale them first")
    if -low > max(high / 4, white / 100):
        raise ValueError(f"its values reach from {low:.3g} to {high:.3g}, and black is 0; shift and scale them first")
    return white


def in_range(values: np.ndarray, white: float) -> np.ndarray:
    """Values clipped to [0, white]; what is no number becomes 0."""
    clipped = values.clip(0, white)
    return np.nan_to_num(clipped, copy=False) if values.dtype.kind == "f" else clipped


def _range(values: np.ndarray) -> tuple[float, float]:
    """The least and the largest of the values that decide."""
    flat = values.reshape(-1)
    if len(flat) > MOST_LOOKED_AT:
        flat = flat[np.random.default_rng(0).integers(0, len(flat), MOST_LOOKED_AT)]
    known = flat[np.isfinite(flat)].astype(np.float64)
    if not len(known):
        raise ValueError("none of its values is a number")
    low = np.quantile(known, OUTLIERS, method="higher")
    high = np.quantile(known, 1 - OUTLIERS, method="lower")
    return float(low), float(high)
