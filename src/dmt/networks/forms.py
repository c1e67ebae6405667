"""What a module of any network gave -> activations (B, C, h, w) and, apart from them, tokens that have no place."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt, log

from torch import Tensor

MOST_PREFIX_TOKENS = 16  # class and register tokens; where more are left over, the tokens are no square at all


@dataclass(frozen=True)
class Form:
    """What the axes of a module's output mean.

    Args:
        axes: ``BCHW``, ``BHWC``, ``BTC`` (tokens), ``BCT`` or ``BC``.
        prefix: of tokens: how many stand before those of places (class and register tokens).
        placed: of tokens: whether the others make up a grid of places.
    """

    axes: str
    prefix: int = 0
    placed: bool = True

    def places(self, output: Tensor, height: int, width: int) -> Tensor:
        """What has a place, ``(B, C, h, w)``.

        Args:
            output: of the module.
            height: of the picture, whose shape is that of the grid of tokens.
            width: of the picture.
        """
        if self.axes == "BCHW":
            return output
        if self.axes == "BHWC":
            return output.permute(0, 3, 1, 2)
        if self.axes == "BC":
            return output[:, :, None, None]
        tokens = self._tokens(output)[:, :, self.prefix :]
        n_tokens = tokens.shape[2]
        return tokens.unflatten(2, grid_of(n_tokens, height, width) if self.placed else (1, n_tokens))

    def unplaced(self, output: Tensor) -> Tensor:
        """Class and register tokens, ``(B, C, 1, prefix)``."""
        return self._tokens(output)[:, :, None, : self.prefix]

    def _tokens(self, output: Tensor) -> Tensor:
        return output if self.axes == "BCT" else output.transpose(1, 2)


def form_of(shape: Sequence[int], other: Sequence[int] | None, channels: str | None = None) -> Form | None:
    """Tell what the axes of an output mean.

    The axes of places change with the size of the picture, that of the channels does not. Where a network takes one
    size only, or nothing changes, the two equal axes of a square picture's output are its places, and channels come
    first if that leaves it open. Of three axes the last is the channels', unless it is the one that changes.

    Args:
        shape: of the output for a batch of square pictures.
        other: of the output for pictures of another size; ``None`` if there is none.
        channels: ``first`` or ``last``, where that is known better.

    Returns:
        The form; ``None`` for an output of more axes or fewer.

    >>> form_of((2, 14, 14, 96), (2, 14, 12, 96)), form_of((2, 197, 768), None)
    (Form(axes='BHWC', prefix=0, placed=True), Form(axes='BTC', prefix=1, placed=True))
    """
    comparable = other is not None and len(other) == len(shape)
    changed = {axis for axis in range(1, len(shape)) if comparable and shape[axis] != other[axis]}  # type: ignore[index]
    if len(shape) == 2:
        return Form("BC")
    if len(shape) == 4:
        if channels is not None:
            is_last = channels == "last"
        elif changed:
            is_last = 3 not in changed
        else:
            is_last = shape[1] == shape[2] != shape[3]
        return Form("BHWC" if is_last else "BCHW")
    if len(shape) == 3:
        is_first = channels == "first" if channels is not None else changed == {2}
        n_tokens = shape[2] if is_first else shape[1]
        prefix = n_tokens - isqrt(n_tokens) ** 2
        placed = prefix <= MOST_PREFIX_TOKENS
        return Form("BCT" if is_first else "BTC", prefix if placed else 0, placed)
    return None


def grid_of(n_tokens: int, height: int, width: int) -> tuple[int, int]:
    """The grid ``(h, w)`` of so many tokens whose shape is most like that of the picture.

    >>> grid_of(196, 224, 224), grid_of(98, 224, 112)
    ((14, 14), (14, 7))
    """
    rows = (h for h in range(1, n_tokens + 1) if n_tokens % h == 0)
    best = min(rows, key=lambda h: abs(log(h * h / n_tokens) - log(height / width)))
    return best, n_tokens // best
