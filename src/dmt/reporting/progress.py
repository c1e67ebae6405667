"""A progress bar for the inversion of a batch."""

from tqdm import tqdm

from dmt.data import ImageBatch
from dmt.solvers import Progress


class InversionBar:
    """Called after every iteration; one bar per batch, with rate and remaining time."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def __call__(self, batch: ImageBatch, progress: Progress) -> None:
        if self._bar is None or progress.iteration == 1:
            self.close()
            first, last = batch.indices[0] + 1, batch.indices[-1] + 1
            label = f"editing images {first}-{last}"
            self._bar = tqdm(total=progress.most_iterations, desc=label, unit="it", leave=False)
        self._bar.update(progress.iteration - self._bar.n)
        self._bar.set_postfix_str(f"objective {progress.objective:.4g}, {progress.running} left", refresh=False)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
