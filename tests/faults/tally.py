"""Faults that are tried one after the other -> how many went wrong, and how."""

from collections.abc import Callable, Collection

COLUMNS = ("silent", "tracebacks", "failures")


def tally(count: int, trial: Callable[[int], tuple[Collection[str], str]]) -> dict[str, int]:
    """Try as many faults as are asked for; what goes wrong is printed at once.

    Args:
        count: how many.
        trial: number -> which of ``COLUMNS`` it is, none where all is well, and what there is to say of it.

    Returns:
        How many were ``tried``, and how many of each of ``COLUMNS`` there were.
    """
    found = dict.fromkeys(("tried", *COLUMNS), 0)
    for number in range(count):
        wrong, told = trial(number)
        found["tried"] += 1
        for column in wrong:
            found[column] += 1
        if wrong:
            print(f"{number}: {', '.join(wrong)}: {told}", flush=True)
    return found
