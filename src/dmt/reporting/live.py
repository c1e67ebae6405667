"""How far an edit is -> numbers for the logger of its run, while it works."""

from collections.abc import Callable, Mapping, Sequence

from dmt.inversion.inverter import OnProgress
from dmt.solvers import Progress

LIVE = "progress"
ITERATION = f"{LIVE}/iteration"
EVERY = 10  # iterations of a batch from one row of numbers to the next (ours)
READ = 20  # rows for a pass over labelled pictures, at most (ours)


class Live:
    """Tells a function of an edit every few iterations; a ``dmt.inversion.inverter.OnProgress``.

    Names begin with ``progress/``. Every row has ``iteration``, how many the run has made so far; beside it

    - ``read``: the share of a pass over labelled pictures that is done;
    - ``witness_before`` and ``witness_after``: of the next batch, whose walk is done, the means;
    - ``objective``: of a batch whose pixels are sought, the mean over its pictures; ``running``: how many of these
      still change; ``edited``: how many pictures have been edited, each once for every lambda that was tried.

    Args:
        told: given the numbers, a row at a time.
        every: iterations of a batch between rows; its first and its last are always told.
    """

    def __init__(self, told: Callable[[Mapping[str, float]], None], every: int = EVERY):
        self._told, self._every = told, every
        self._iterations = self._edited = self._read = 0
        self._is_again = False

    def pictures(self, n_read: int, n_all: int) -> None:
        """As ``dmt.data.Serving`` tells."""
        part = READ * n_read // max(1, n_all)
        if part > self._read:
            self._tell(read=n_read / max(1, n_all))
        self._read = part

    def begin(self, n_images: int) -> None:
        """As ``dmt.inversion.inverter.OnProgress``."""
        self._tell(edited=float(self._edited))

    def again(self, n_images: int) -> None:
        """As ``begin``; what follows was counted before."""
        self._is_again = True

    def walked(self, before: float, after: float) -> None:
        """As ``begin``."""
        self._tell(witness_before=before, witness_after=after)

    def briefly(self) -> "Live":
        """As ``begin``."""
        return self

    def __call__(self, progress: Progress) -> None:
        self._iterations += 1
        is_last = progress.running == 0 or progress.iteration == progress.most_iterations
        if is_last:
            self._edited += 0 if self._is_again else progress.problems
            self._is_again = False
        if is_last or progress.iteration == 1 or progress.iteration % self._every == 0:
            mean = progress.objective / max(1, progress.problems)
            self._tell(objective=mean, running=float(progress.running), edited=float(self._edited))

    def _tell(self, **numbers: float) -> None:
        self._told({ITERATION: float(self._iterations), **{f"{LIVE}/{name}": n for name, n in numbers.items()}})


class Several:
    """Tells several of what one is told; a ``dmt.inversion.inverter.OnProgress``."""

    def __init__(self, listeners: Sequence[OnProgress]):
        self._all = listeners

    def begin(self, n_images: int) -> None:
        for one in self._all:
            one.begin(n_images)

    def again(self, n_images: int) -> None:
        for one in self._all:
            one.again(n_images)

    def walked(self, before: float, after: float) -> None:
        for one in self._all:
            one.walked(before, after)

    def briefly(self) -> "Several":
        return Several([brief for one in self._all if (brief := one.briefly()) is not None])

    def __call__(self, progress: Progress) -> None:
        for one in self._all:
            one(progress)
