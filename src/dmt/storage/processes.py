"""One job in several processes: what each does, in which order, and what all of them then know.

Every process runs the same program to its end, so that all of them call these functions in the same order; what one
of them raises in here, all of them raise. With a single process, as in most runs, each function is a plain call. Within
the work that is given to one of these functions a process counts as the only one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from datetime import timedelta
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

from torch import distributed

from dmt.errors import UserError

Result = TypeVar("Result")
_alone: ContextVar[bool] = ContextVar("_alone", default=False)

LONGEST_WAIT = timedelta(days=7)  # for the first process to fit a manifold


def count() -> int:
    """How many processes share the work."""
    return distributed.get_world_size() if _are_several() else 1


def is_first() -> bool:
    """Whether this is the process that writes and prints."""
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0


def divided(rows: range, n: int) -> list[range]:
    """Contiguous parts whose lengths differ by 1 at most; the first is as long as any.

    >>> divided(range(2, 7), 2)
    [range(2, 5), range(5, 7)]
    """
    edges = [rows.start - (-len(rows) * i // n) for i in range(n + 1)]
    return [range(start, stop) for start, stop in pairwise(edges)]


def own(shares: Sequence[Result]) -> Result:
    """This process's of as many shares as there are processes."""
    return shares[distributed.get_rank() if _are_several() else 0]


def gathered(work: Callable[[], Result]) -> list[Result]:
    """What each process has made of its share, in the order of the processes.

    Raises:
        Exception: what the work of any of them raised.
    """
    if not _are_several():
        return [work()]
    outcomes: list[Any] = [None] * count()
    outcome = _outcome(work)
    with _all_there():
        distributed.all_gather_object(outcomes, outcome, group=_group())
    return [_result(outcome) for outcome in outcomes]


def let_go(trainer: Any) -> None:
    """Have a Lightning trainer that is not needed any more hold nothing.

    It refers to itself in many places, so that Python finds out only at its next full collection that nobody needs it;
    until then it keeps its module and its data, and so the features of hundreds of pictures. (Ours.) One of several
    processes keeps it, for it holds on to the others.
    """
    if not _are_several():
        vars(trainer).clear()


def from_first(work: Callable[[], Result]) -> Result:
    """What the first process finds, known to all; only that one works.

    Raises:
        Exception: what its work raised.
    """
    if not _are_several():
        return work()
    outcome = [_outcome(work) if is_first() else None]
    with _all_there():
        distributed.broadcast_object_list(outcome, group=_group())
    return _result(outcome[0])


def in_turn(work: Callable[[], Result]) -> Result:
    """Work in the first process, then in the others, which find on disk what that one has made.

    Returns:
        What this process's own work returns.

    Raises:
        Exception: what the work of any of them raised.
    """
    own_result: list[Result] = []

    def keep() -> None:
        own_result.append(work())

    from_first(keep)
    gathered(lambda: None if own_result else keep())
    return own_result[0]


@contextmanager
def held_by_first(lock: AbstractContextManager[None]) -> Iterator[None]:
    """The first process is within ``lock`` while all of them are within this block."""
    with ExitStack() as stack:
        from_first(lambda: stack.enter_context(lock))
        yield


def _are_several() -> bool:
    is_group = distributed.is_available() and distributed.is_initialized()
    return is_group and not _alone.get() and distributed.get_world_size() > 1


def _outcome(work: Callable[[], Result]) -> tuple[Result | None, Exception | None]:
    before = _alone.set(True)
    try:
        return work(), None
    except Exception as error:
        return None, error
    finally:
        _alone.reset(before)


@contextmanager
def _all_there() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise UserError(
            "another process of this job has ended; what was finished is kept, and the same command goes on from there"
        ) from error


def _result(outcome: Any) -> Any:
    result, error = outcome
    if error is not None:
        raise error
    return result


@cache
def _group() -> Any:
    """All processes, on the processor: what they tell each other are Python objects, whatever device they work on."""
    return distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)
