"""Warnings of a run -> what its page repeats."""

import logging


class Told(logging.Handler):
    """Keeps what a run warns of, each line once, from its beginning on."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = " ".join(record.getMessage().split())
        if line not in self.lines:
            self.lines.append(line)

    def begin(self) -> None:
        """Forget what an earlier run said, and listen to what ``dmt`` says from now on."""
        self.lines.clear()
        logging.getLogger("dmt").addHandler(self)


told = Told()
