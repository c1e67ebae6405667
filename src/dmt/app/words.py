"""Numbers of an edit -> sentences for somebody who knows nothing of it."""

import math
from collections.abc import Mapping

from dmt.judges.verdicts import HALF
from dmt.reporting.progress import Step
from dmt.reporting.verdict_table import TOLERANCE, TURNED, change_in_words

Record = Mapping[str, object]

STRENGTHS = 10.0  # the slider's far end
USUAL = {"faces": 5.5, "classes": 5.5, "digits": 7.5}  # what is edited -> the slider's place to begin with (ours)
WEAKEST, STRONGEST = 2.0, 0.3  # lambda' at its two ends (ours)
NAMES = ((1.35, "a hint"), (0.9, "a little"), (0.6, "clearly"), (0.42, "strongly"))  # from this lambda' on (ours)
STRONGER = "very strongly, and it may show"
SAME_PERSON = 0.45  # mean cosine of two photographs of one person of LFW; of two people it is .06 (docs/judges.md)
AWAY = 0.5  # of 255: a mean change outside the middle of the picture below which it counts as none (ours)


def lambda_of(strength: float) -> float:
    """The slider's place, 0 to 10, as lambda', which is smaller the more is edited.

    >>> lambda_of(0), lambda_of(5.5), lambda_of(10)
    (2.0, 0.7, 0.3)
    """
    return float(f"{WEAKEST * (STRONGEST / WEAKEST) ** (strength / STRENGTHS):.2g}")


def strength_in_words(strength: float) -> str:
    """What the slider's place means.

    >>> strength_in_words(5.5)
    'clearly (λ = 0.7)'
    """
    lam = lambda_of(strength)
    return f"{next((words for least, words in NAMES if lam >= least), STRONGER)} (λ = {lam:g})"


def time_in_words(seconds: float) -> str:
    """About how long something takes.

    >>> time_in_words(3), time_in_words(34), time_in_words(100)
    ('a few seconds', '35 s', '2 min')
    """
    if seconds < 5:
        return "a few seconds"
    return f"{5 * math.ceil(seconds / 5)} s" if seconds < 90 else f"{math.ceil(seconds / 60)} min"


def step_in_words(step: Step) -> str:
    """How far an edit is.

    >>> step_in_words(Step("reading", 40, 142, round=2, seconds_left=31))
    'Reading labelled pictures (set 2), 40 of 142, about 35 s left of it'
    >>> step_in_words(Step("editing", 9, 17, seconds_left=3))
    'Changing the picture, step 9 of about 17, a few seconds left of this round'
    """
    left = f", {_left_in_words(step.seconds_left)} left" if step.seconds_left is not None else ""
    if step.what == "reading":
        which = f" (set {step.round})" if step.round > 1 else ""
        return f"Reading labelled pictures{which}, {step.done} of {step.of}{left and left + ' of it'}"
    which = f", try {step.attempt}" if step.attempt > 1 else ""
    which += f", round {step.round}" if step.round > 1 else ""
    if not left:
        return f"Changing the picture{which}, step {step.done}"
    return f"Changing the picture{which}, step {step.done} of about {step.of}{left} of this round"


def _left_in_words(seconds: float) -> str:
    words = time_in_words(seconds)
    return f"about {words}" if words[0].isdigit() else words


def verdict_in_words(record: Record, is_auto: bool, target: str = "") -> list[str]:
    """Did it change, who says so, how much was kept, and how much of what was asked for came about.

    Args:
        record: of one edited image; docs/metrics.md has its columns.
        is_auto: whether lambda was chosen for this picture.
        target: what the judge of classes knows the target as.
    """
    lines = [*_changed(record, target), *_kept(record)]
    share = _number(record, "realised")
    if share is not None and not is_auto:
        reached = "all" if abs(share - 1) <= TOLERANCE else f"{share:.0%}"
        lines.append(f"Reached: {reached} of the change that was asked for is in the finished picture.")
    lam = _number(record, "lambda")
    if is_auto and lam is not None:
        lines.append(f"Just enough was λ = {lam:.2g} for this picture.")
    return lines + _cautions(record)


def _changed(record: Record, target: str) -> list[str]:
    before, after = _ends(record, "classes")
    if before is not None and after is not None:
        changed = "no" if after <= HALF else "it was so before" if before > HALF else "yes"
        more = " More strength, or just enough, may do it." if after <= HALF else ""
        return [
            f"Changed: {changed}.{more} A judge that learnt from pictures which the edit did not see takes it for "
            f"“{target}” with {after:.0%}; before, with {before:.0%}."
        ]
    lines = []
    before, after = _ends(record, "happy")
    if before is not None and after is not None:
        lines.append(f"A judge of expressions sees a smile with {after:.0%}; before, with {before:.0%}.")
    before, after = _ends(record, "age")
    if before is not None and after is not None:
        lines.append(f"A judge of ages guesses {after:.0f} years; before, {before:.0f}.")
    before, after = _ends(record, "witness")
    if before is not None and after is not None:
        if before <= 0:
            changed = "it was on the target's side before the edit"
        elif after <= 0:
            changed = "it went over to the target's side"
        else:
            changed = f"it went {(before - after) / before:.0%} of the way to the border between the two sides"
        lines.insert(0, f"Changed: by the edit's own measure, {changed}.")
    return lines


def _kept(record: Record) -> list[str]:
    identity, ssim = _number(record, "identity"), _number(record, "ssim")
    size = change_in_words({**record})  # type: ignore[dict-item]
    picture = f"The picture as a whole {'is' if size == 'unchanged' else 'has'} {size}." if size else ""
    if identity is not None:
        who = "still clearly the same person" if identity > SAME_PERSON else "no longer surely the same person"
        return [f"Kept: {who} to a judge of faces ({identity:.2f} of 1). {picture}"]
    likeness = f"Kept: {ssim:.0%} of the picture's structure (SSIM). " if ssim is not None else ""
    outside = _number(record, "change_outside")
    place = " Around the middle nothing has changed." if outside is not None and outside < AWAY else ""
    return [likeness + picture + place] if likeness or picture else []


def _cautions(record: Record) -> list[str]:
    said = []
    if record.get("unlike_sets"):
        said.append("It is unlike all pictures that it was compared with, so look at the result twice.")
    if abs(_number(record, "turn") or 0) > TURNED:
        said.append("The head is turned to the side, where lines of a face from the front may appear.")
    if change_in_words({**record}) in ("unchanged", "hardly changed"):  # type: ignore[dict-item]
        said.append("Hardly anything is to be seen; more strength edits more.")
    return said


def _ends(record: Record, judge: str) -> tuple[float | None, float | None]:
    return _number(record, f"{judge}_before"), _number(record, f"{judge}_after")


def _number(record: Record, column: str) -> float | None:
    value = record.get(column)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
