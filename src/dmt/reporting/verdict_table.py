"""Records of edits -> the table for the terminal: did the class change, who says so, and how much was kept."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from dmt.editing.records import EditedImage, Record, mean_of_records
from dmt.judges.verdicts import HALF, Wish
from dmt.reporting.names import end_of, short_names
from dmt.reporting.tables import columns_of, text_table

WIDTH = 110  # characters of a line
TOLERANCE = 0.05  # of the share of a displacement that is realised: below it nothing is said
OUTSIDE = 1.5  # times as far from the nearest picture as pictures are, or as the input was: that is said (ours)
TURNED = 0.34  # of a head (dmt.data.framing.head_turn), beyond which lie a twentieth of LFW's
LEAST_NAME = 12  # characters of a picture's name that are always shown
WALK = ("witness", "far")  # what is told of a walk before and after, by no judge
JUDGE = "judge "  # before the judge's name, the title of its column

# Ours. 45 dB is a root mean square change of 1.4 of 255, less than what JPEG at its best setting costs (37 to 41 dB at
# quality 95); 30 dB is 8 of 255, about where faces lie once their class has changed; 20 dB is 26 of 255.
SIZES = ((45.0, "hardly changed"), (30.0, "little changed"), (20.0, "changed"))
MOST_CHANGED = "much changed"

TARGET_JUDGES = ("classifier", "classes", "probe")  # of these a high number means the target; of others it is not known
DID_CHANGE = ("yes", "changed", "confirmed")  # verdicts that count

WHERE_JUDGES_COME_FROM = (
    "No judge was asked: judges=faces for faces, judges=[probe] data.reserved=0.25 for any class (--help judges)."
)


def verdict_rows(images: Sequence[EditedImage]) -> list[Record]:
    """What a user asks of edited pictures, one row each, and a last row ``mean`` if they are of one edit.

    Columns; one that would be empty in all rows is left out:

    - ``image``: the end of the name (``short_names``); ``edit``: which of several edits of one input;
    - ``class``: what a classifier that is explained says of the input and of the result;
    - ``lambda``;
    - ``changed``: whether the class did: the record's own ``verdict``, a word, if it has one; ``yes`` or ``no`` by its
      ``reached``, or by all judges of which it is known what they shall say (``opinions``), of which each must be
      convinced (``already``: the input was there, too). Without any judge, the witness of input and result, whose fall
      is what an edit seeks and so proves nothing. Of other judges it is not known which side is the target's, so that
      it stays open;
    - ``judge NAME``: a judge's number of the input and of the result;
    - ``kept``: the cosine of the faces' embeddings, or SSIM and PSNR where nobody looked at faces;
    - ``realised``: the share of lambda's displacement that the picture's own features have moved, where it is not 1;
    - ``picture``: the size of the change in words, see ``change_in_words``;
    - ``seconds``;
    - ``unconverged``: which solver stopped before it had converged, ``walk``, ``pixels`` or ``both``.

    The row ``mean`` has means, and counts for ``changed`` and ``unconverged``.
    """
    names = short_names([image.name for image in images])
    rows = [
        {"image": name, "edit": image.edit, **verdict(image.record)} for name, image in zip(names, images, strict=True)
    ]
    if images and not any(image.edit for image in images):
        rows.append({"image": "mean", "edit": "", **mean_verdict([image.record for image in images])})
    empty = [column for column in columns_of(rows) if all(row.get(column, "") == "" for row in rows)]
    return [{column: cell for column, cell in row.items() if column not in empty} for row in rows]


def verdict_table(images: Sequence[EditedImage], width: int = WIDTH) -> str:
    """``verdict_rows`` as aligned text, and a line that says where judges come from if there was none.

    Where it would be wider than ``width`` characters the names lose their beginnings, and then the last judges their
    columns, which a line below says.
    """
    rows = verdict_rows(images)
    needed = min(LEAST_NAME, max((len(str(row["image"])) for row in rows), default=0))
    left_out: list[str] = []
    while (room := width - _width_beside_names(rows)) < needed and (judges := _judge_columns(rows))[1:]:
        left_out.insert(0, judges[-1])
        rows = [{column: cell for column, cell in row.items() if column != judges[-1]} for row in rows]
    most = max(room, LEAST_NAME)
    lines = [text_table([{**row, "image": end_of(str(row["image"]), most)} for row in rows])]
    if left_out:
        lines.append(f"In results.csv only: {', '.join(left_out)}.")
    if images and not any(_judges(image.record) or _word(image.record) for image in images):
        lines.append(WHERE_JUDGES_COME_FROM)
    return "\n".join(lines)


def verdict(record: Record) -> Record:
    """The cells of one record; see ``verdict_rows``."""
    judges = _judges(record)
    return {
        "class": f"{record['from']} -> {record['becomes']}" if "becomes" in record else "",
        "lambda": _rounded(record, "lambda", 3),
        "changed": _word(record) or ("" if judges else _by_the_witness(record)),
        **{JUDGE + judge: _from_to(record, judge) for judge in judges},
        "kept": _kept(record),
        "realised": "" if _was_searched(record) else _share(record),
        "picture": change_in_words(record),
        "seconds": _rounded(record, "seconds", 2),
        "unconverged": _unconverged(record),
    }


def mean_verdict(records: Sequence[Record]) -> Record:
    """The cells of many records together: means, and counts of what is a yes or a no."""
    means: Record = {**mean_of_records(records)}
    words = [word for word in map(_word, records) if word]
    failures = sum(bool(_unconverged(record)) for record in records)
    counts: Record = {"unconverged": f"{failures} of {len(records)}" if failures else ""}
    if words:
        counts["changed"] = f"{sum(word in DID_CHANGE for word in words)} of {len(words)}"
    return {**verdict(means), **counts}


def did_change(record: Record) -> bool | None:
    """Whether the class changed, by whoever knows which side is the target's; ``None``: nobody who does was asked."""
    word = _word(record)
    return word in DID_CHANGE if word else None


def wishes(record: Record) -> list[Wish]:
    """What judges shall say of the result, where it is known: of a probability of the target, or by ``wanted``."""
    known = [Wish(judge, "above", HALF) for judge in TARGET_JUDGES if f"{judge}_after" in record]
    return known + Wish.all_of(str(record.get("wanted", "")))


def opinions(record: Record) -> dict[str, str]:
    """Judges of which it is known what they shall say -> ``yes``, ``no``, or ``already``: the input was there, too."""
    said = {wish.judge: wish.verdict(record) for wish in wishes(record)}
    return {judge: word for judge, word in said.items() if word}


def change_in_words(record: Record) -> str:
    """How much a picture changed, by its PSNR to the input; empty if that is not known.

    ``unchanged``: equal in 8 bits; ``hardly changed`` from 45 dB on; ``little changed`` from 30 dB on; ``changed`` from
    20 dB on; else ``much changed``. The PSNR is of the whole picture: a small part may change more.

    >>> [change_in_words({"psnr": psnr}) for psnr in (float("inf"), 50.0, 31.0, 12.0)]
    ['unchanged', 'hardly changed', 'little changed', 'much changed']
    """
    psnr = _number(record, "psnr")
    if psnr == math.inf or record.get("change_largest") == 0:
        return "unchanged"
    if psnr is None or math.isnan(psnr):
        return ""
    return next((words for least, words in SIZES if psnr >= least), MOST_CHANGED)


def _word(record: Record) -> str:
    """The verdict on the class, where the record has one or its columns say which side is the target's."""
    if record.get("verdict"):
        return str(record["verdict"])
    if "reached" in record:
        return "yes" if record["reached"] else "no"
    said = set(opinions(record).values())
    return next((word for word in ("no", "yes", "already") if word in said), "")


def _judges(record: Record) -> list[str]:
    """Who says something of the input and of the result, first the one whose side is known."""
    names = [column.removesuffix("_before") for column in record if column.endswith("_before")]
    judges = [name for name in names if name not in WALK and f"{name}_after" in record]
    return sorted(judges, key=lambda judge: judge not in TARGET_JUDGES)


def _judge_columns(rows: Sequence[Record]) -> list[str]:
    return [column for column in columns_of(rows) if column.startswith(JUDGE)]


def _width_beside_names(rows: Sequence[Record]) -> int:
    """Characters of a line without the names, and with the gap that follows them."""
    others = text_table([{column: cell for column, cell in row.items() if column != "image"} for row in rows])
    return 2 + max(map(len, others.split("\n")))


def _by_the_witness(record: Record) -> str:
    return f"by the witness: {_from_to(record, 'witness')}" if "witness_after" in record else ""


def _from_to(record: Record, judge: str) -> str:
    """A number of the input and of the result; hundredths within -1 ... 1, as probabilities are, else three digits."""
    ends = [None if end is None or math.isnan(end) else end for end in _ends(record, judge)]
    known = [end for end in ends if end is not None]
    form = "z.2f" if all(abs(end) <= 1 for end in known) else ".3g"
    return " -> ".join("?" if end is None else f"{end:{form}}" for end in ends)


def _ends(record: Record, judge: str) -> tuple[float | None, float | None]:
    return _number(record, f"{judge}_before"), _number(record, f"{judge}_after")


def _kept(record: Record) -> str:
    identity, ssim, psnr = (_number(record, column) for column in ("identity", "ssim", "psnr"))
    if identity is not None:
        return f"identity {identity:z.2f}"
    pictures = [f"SSIM {ssim:z.2f}"] if ssim is not None else []
    return ", ".join(pictures + ([f"{psnr:.0f} dB"] if psnr is not None and math.isfinite(psnr) else []))


def _unconverged(record: Record) -> str:
    """Which solver did not converge, in one word."""
    walk, pixels = (record.get(column, True) is False for column in ("traversal_converged", "converged"))
    return "both" if walk and pixels else "walk" if walk else "pixels" if pixels else ""


def _share(record: Record) -> str:
    """In percent; empty where all of it was realised, or where nothing is known."""
    share = _number(record, "realised")
    return "" if share is None or math.isnan(share) or abs(share - 1) <= TOLERANCE else f"{100 * share:.0f} %"


def notes(images: Sequence[EditedImage]) -> list[str]:
    """What a user should know of some of the edits, a line each: little came of them, or nothing was to be done."""
    said_of: dict[str, list[str]] = {said: [] for said in REMARKS}
    for image, name in zip(images, short_names([image.name for image in images]), strict=True):
        for said in remarks(image.record):
            said_of[said].append(name)
    return [f"{len(those)} of {len(images)} {said}: {', '.join(those)}" for said, those in said_of.items() if those]


def remarks(record: Record) -> list[str]:
    """What a user should know of one edit."""
    return [said for said, is_so in REMARKS.items() if is_so(record)]


def _did_not_reach(record: Record) -> bool:
    return bool(_share(record)) and record.get("multiplier", 1.0) != 1.0 and not _was_searched(record)


def _was_searched(record: Record) -> bool:
    """Whether lambda was found by trying, so that it is of no account how much of it was realised."""
    return (_number(record, "inversions") or 1) > 1


def _rounded(record: Record, column: str, digits: int) -> str | float:
    value = _number(record, column)
    return "" if value is None else float(f"{value:.{digits}g}")


def _number(record: Record, column: str) -> float | None:
    value = record.get(column)
    with suppress(TypeError, ValueError):  # words: infinity is one in results.json
        return float(value)  # type: ignore[arg-type]
    return None


REMARKS: Mapping[str, Callable[[Record], bool]] = {
    "taken by the witness for the target's class before": lambda record: bool(record.get("was_target")),
    "unlike all that the edit compares with (a turned head, a wide open mouth?), so look at the result": (
        lambda record: bool(record.get("unlike_sets")) and "turn" in record
    ),
    "unlike all that the edit compares with, so look at the result": (
        lambda record: bool(record.get("unlike_sets")) and "turn" not in record
    ),
    "turned to the side, where lines of a face from the front may appear; look at the result": (
        lambda record: abs(_number(record, "turn") or 0) > TURNED
    ),
    "hardly changed; a smaller lambda edits more": (
        lambda record: change_in_words(record) in ("unchanged", "hardly changed")
    ),
    "taken where no picture is; a larger lambda, or method.walk.within=1.2, stays nearer": (
        lambda record: (_number(record, "far_after") or 0) > OUTSIDE * max(1, _number(record, "far_before") or 0)
    ),
    "did not reach lambda's displacement": _did_not_reach,
}
"""What may be said of an edit -> whether it is so."""
