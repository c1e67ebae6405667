"""Who has the page open -> their folder, what they are waiting for, and what they got."""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path

from dmt.app.edits import Outcome, Wish, carried_out
from dmt.app.engine import Engine, Job
from dmt.cli.front_door import require_settings
from dmt.errors import UserError

MOST_KEPT = 50  # results of one session (ours)
ASKED = ("lambda", "images", "n_images", "faces", "person", "task", "data", "data.catalog.root", "data.catalog.labels")
"""What the page decides."""
NOT_HERE = ("experiment", "figure", "study", "output_dir", "logger")  # what no page shows


@dataclass
class Session:
    """One open page.

    Args:
        folder: for its files.
        classes: source and target of own classes -> the folder of its pictures.
        outcomes: what it got, the last first.
        job: what it waits for.
    """

    folder: Path
    classes: dict[str, Path] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    job: Job[Outcome] | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def new_folder(self, kind: str) -> Path:
        """A path that nobody has used."""
        return self.folder / f"{kind}_{next(self._numbers)}"


class Sessions:
    """All open pages.

    Args:
        engine: does the work.
        folder: for their files.
        settings: of every edit of faces and of own classes.
    """

    def __init__(self, engine: Engine, folder: Path, settings: Sequence[str] = ()):
        self._engine = engine
        self._folder = folder
        self._settings = list(settings)
        self._open: dict[str, Session] = {}

    def of(self, name: str | None) -> Session:
        """The session that the browser calls by a name of any kind."""
        key = hashlib.sha256((name or "").encode()).hexdigest()[:16]
        return self._open.setdefault(key, Session(self._folder / key))

    def forget(self, name: str | None) -> None:
        """A page was closed: stop its work and remove its files."""
        key = hashlib.sha256((name or "").encode()).hexdigest()[:16]
        session = self._open.pop(key, None)
        if session is not None:
            if session.job is not None:
                session.job.stop()
                session.job.future.add_done_callback(lambda _: shutil.rmtree(session.folder, ignore_errors=True))
            shutil.rmtree(session.folder, ignore_errors=True)

    def begin(self, session: Session, wish: Wish) -> Job[Outcome]:
        """Put a wish into the queue.

        Raises:
            UserError: the session waits for another one, or too many wait.
        """
        if session.job is not None and not (session.job.is_done or session.job.is_stopped):
            raise UserError("one picture at a time; this page is still at work on another")
        if wish.kind != "digits":
            given = {setting.partition("=")[0] for setting in self._settings}
            own = [setting for setting in wish.settings if setting.partition("=")[0] not in given]
            wish = replace(wish, settings=[*own, *self._settings])
        session.job = self._engine.submit(partial(carried_out, wish, session.new_folder("edit")))
        return session.job

    def finish(self, session: Session) -> Outcome:
        """What came of the last wish; kept for the session's history.

        Raises:
            Stopped, UserError: nothing did.
        """
        job = session.job
        assert job is not None
        outcome = replace(job.result(), seconds=job.seconds)
        session.outcomes.insert(0, outcome)
        for old in session.outcomes[MOST_KEPT:]:
            shutil.rmtree(Path(old.file).parent, ignore_errors=True)
        del session.outcomes[MOST_KEPT:]
        return outcome

    def n_before(self, job: Job[Outcome]) -> int:
        """How many are served first."""
        return self._engine.n_before(job)


def require_for_every_edit(settings: Sequence[str]) -> None:
    """Check what every edit is told beside what the page asks for.

    Raises:
        UserError: there is no such setting, a value that it does not take, or it is not for a page.
    """
    for setting in settings:
        name = setting.partition("=")[0].strip(" +~")
        if name in ASKED:
            raise UserError(f"{setting} is asked for on the page; leave it out")
        if name in NOT_HERE or name.partition(".")[0] == "hydra":
            raise UserError(f"{setting} means nothing to a page; leave it out")
    for data in ("lfw", "folder"):
        require_settings(data, *settings)
