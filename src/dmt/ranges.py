"""What values arguments take: types with their ranges, which the command line checks before it builds anything.

They stand where arguments stand: ``weight: NotNegative = 40.0``. What a type without a range allows is in
``dmt.cli.signatures``: finite numbers, whole numbers up to a thousand million, text that is not empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Interval, Len, MinLen


@dataclass(frozen=True)
class Infinite:
    """Of a number: infinity is one of its values."""


@dataclass(frozen=True)
class Empty:
    """Of text: it may be empty."""


@dataclass(frozen=True)
class Named:
    """Of anything: it is a name, as YAML reads what somebody writes for one."""

    is_list: bool = False


@dataclass(frozen=True)
class Code:
    """Of text: it may name code, ``MODULE:FUNCTION``, that is imported and called."""


Count = Annotated[int, Ge(1)]  # 1, 2, 3 ...
CountOrNone = Annotated[int, Ge(0)]  # 0, 1, 2 ...
Several = Annotated[int, Ge(2)]
Seed = Annotated[int, Interval(ge=0, le=2**32 - 1)]
Side = Annotated[int, Interval(ge=1, le=16384)]  # of a picture, in pixels
Cells = Annotated[int, Interval(ge=1, le=1024)]  # along a side, or numbers of each place
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
ShareBelowOne = Annotated[float, Interval(ge=0, lt=1)]
SomeShare = Annotated[float, Interval(gt=0, le=1)]  # above none
BetweenZeroAndOne = Annotated[float, Interval(gt=0, lt=1)]
SureOfIt = Annotated[float, Interval(gt=0.5, lt=1)]  # a probability
Alpha = Annotated[float, Interval(ge=-1e6, le=1e6)]  # how many times as far
Decay = Annotated[float, Interval(ge=-8, le=8)]  # a power of the frequency
Exponent = Annotated[float, Interval(ge=1, le=16)]  # of a norm
Degrees = Annotated[float, Interval(ge=0, le=180)]
History = Annotated[int, Interval(ge=1, le=1000)]  # steps that a solver remembers
Width = Annotated[int, Interval(ge=1, le=65536)]  # channels of a layer
Kernel = Annotated[int, Interval(ge=1, le=255)]  # pixels along a side
Pooling = Literal["max", "average"]
Lambda = Annotated[float, Gt(0), Infinite()]
Components = Annotated[int, Ge(1)] | Annotated[float, Interval(gt=0, lt=1)]  # or a share of the variance
Direction = Literal["more", "less"]
Beyond = Literal["above", "below"]
Bandwidth = Annotated[float, Gt(0)] | Literal["mean", "median"]
Colour = Annotated[Sequence[float], Len(3, 3)]  # red, green, blue
Deviation = Annotated[Sequence[Positive], Len(3, 3)]
Scalar = Annotated[Any, Named()]  # a name as YAML reads it: text, a number, a boolean or nothing
Label = Annotated[Any, Named(is_list=True)]  # or a list of such: dmt.data.labels finds which label is meant
Checksum = Annotated[str, Empty()]  # of a file, or its start; empty: of whatever file
Builder = Annotated[str, Code()]
Layers = Mapping[str, str] | Annotated[Sequence[str], MinLen(1)] | None
