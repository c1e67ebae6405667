"""What a run is called where many are listed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RunLabel:
    """What a run is called where many are listed.

    Args:
        name: what it did, and how strongly; told apart from the other runs of its sweep.
        job_type: the kind of work: ``traverse``, ``train``, ``benchmark``, ...
        group: the sweep that it is of.
        tags: to filter by: data, network, method.
    """

    name: str
    job_type: str
    group: str | None = None
    tags: tuple[str, ...] = ()
