"""Warnings of a run -> what its page repeats."""

import logging

OF_RESULTS = ("dmt.editing", "dmt.judges")  # who speaks of the results; others speak of the run


class Told(logging.Handler):
    """Keeps what a run warns of, each line once, from its beginning on: of its results, and of itself."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.of_results: list[str] = []
        self.of_run: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        lines = self.of_results if record.name.startswith(OF_RESULTS) else self.of_run
        line = " ".join(record.getMessage().split())
        if line not in lines:
            lines.append(line)

    def begin(self) -> None:
        """Forget what an earlier run said, and listen to what ``dmt`` says from now on."""
        self.of_results.clear()
        self.of_run.clear()
        logging.getLogger("dmt").addHandler(self)


told = Told()
