"""The record of an edit -> what it says in words: did the class change, who says so, how much was kept."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dmt.editing.explain import SECOND_OPINIONS
from dmt.editing.records import Record, mean_of_records
from dmt.judges.verdicts import Wish
from dmt.reporting.verdict_table import DID_CHANGE, JUDGE, opinions, remarks, verdict

JUDGES = {
    "classifier": "the classifier",
    "classes": "the judge of the classes",
    "probe": "the probe of the class",
    "happy": "the judge of expressions",
    "age": "the judge of ages",
    "male": "the judge of men and women",
}
NUMBERS = {"happy": "P(happy)", "age": "Judged age", "male": "P(male)"}  # what a number is called
SECOND = ("classes", "probe")  # who is asked beside a classifier that is explained
SCALE = "two photographs of one person have 0.45 on average, of two people 0.06"  # benchmarks/identity_scale.py
LAMBDA = "λ′"  # noqa: RUF001 - a prime
VERDICTS = {
    "yes": "Changed",
    "changed": "Changed",
    "already": "Was there already",
    "no": "Not changed",
    "confirmed": "Changed, and confirmed",
    "adversarial": "Adversarial",
}


@dataclass(frozen=True)
class Words:
    """What is said of one edit.

    Args:
        verdict: the first words: ``Changed``, ``Not changed``, ``Adversarial``, ...
        did_change: whether the class changed; ``None``: nobody said so.
        sentences: who says so, and what was kept.
        remarks: what to look at.
    """

    verdict: str
    did_change: bool | None
    sentences: Sequence[str]
    remarks: Sequence[str]

    @property
    def mood(self) -> str:
        """How the verdict looks: ``yes``, ``no`` or ``open``."""
        return "open" if self.did_change is None else "yes" if self.did_change else "no"


def words_of(record: Record) -> Words:
    """A record in words.

    >>> words_of({"probe_before": 0.03, "probe_after": 0.97, "ssim": 0.9, "psnr": 24.0}).verdict
    'Changed'
    >>> words_of({"from": "3", "becomes": "8", "verdict": "adversarial", "reached": True}).sentences[0]
    'The classifier said 3 and now says 8. The second opinion does not see it: only the classifier was fooled.'
    """
    cells = verdict(record)
    judges = {name.removeprefix(JUDGE): str(cell) for name, cell in cells.items() if name.startswith(JUDGE)}
    word = str(cells["changed"])
    is_word = word in VERDICTS
    head = VERDICTS[word] if is_word else "For you to judge" if judges else "Not judged"
    told = [_who(record, word, judges), *_numbers(record, judges), _kept(record)]
    told += [_size(cells), _realised(cells), _unconverged(cells)]
    return Words(head, word in DID_CHANGE if is_word else None, [line for line in told if line], remarks(record))


def summary(records: Sequence[Record]) -> str:
    """How many of the pictures changed, who says so, and how much was kept, in a line.

    >>> summary([{"probe_before": 0.1, "probe_after": end, "ssim": 0.9} for end in (0.2, 0.9)])
    '1 of 2 pictures changed class, by the probe of the class. Likeness of structure (SSIM): 0.90 of 1 on average.'
    """
    if not records:
        return ""
    known = [did for did in (words_of(record).did_change for record in records) if did is not None]
    means: Record = {**mean_of_records(records)}
    kept = _kept(means, "on average" if len(records) > 1 else "")
    if not known:
        count = f"{len(records)} pictures" if len(records) > 1 else "One picture"
        is_judged = any(name.startswith(JUDGE) for name in verdict(records[0]))
        why = "is for you to judge" if is_judged else "was not asked of any judge"
        return f"{count}. Whether the class changed {why}. {kept}".strip()
    if "becomes" in records[0] and records[0].keys().isdisjoint(SECOND_OPINIONS):
        return f"The classifier changed its mind on {sum(known)} of {len(known)}; nobody else was asked. {kept}".strip()
    judges = [_judge(name) for name in opinions(records[0])]
    by = f", by {' and '.join(judges)}" if judges else ""
    if len(records) == 1:
        return f"The picture {'changed' if known[0] else 'did not change'} class{by}. {kept}".strip()
    return f"{sum(known)} of {len(known)} pictures changed class{by}. {kept}".strip()


def with_minus(text: str) -> str:
    """The text with an arrow and with minus signs, as they are printed.

    >>> with_minus("by the witness: 0.26 -> -0.27") == "by the witness: 0.26 → \N{MINUS SIGN}0.27"
    True
    """
    return re.sub(r"(?<![\w.])-(?=\d)", "\N{MINUS SIGN}", text.replace("->", "→"))


def with_signs(text: str) -> str:
    """The text with lambda' and infinity as they are printed."""
    return text.replace("lambda'", LAMBDA).replace(f"{LAMBDA} inf", f"{LAMBDA} ∞")


def _who(record: Record, word: str, judges: Mapping[str, str]) -> str:
    if "becomes" in record:
        said = f"The classifier said {record['from']} and now says {record['becomes']}."
        if word == "confirmed":
            return f"{said} The second opinion agrees."
        if word == "adversarial":
            return f"{said} The second opinion does not see it: only the classifier was fooled."
        if word in DID_CHANGE:
            return f"{said} Nobody else was asked."
        return f"The classifier said {record['from']} and says {record['becomes']}: it was not convinced."
    if opinions(record) and word in VERDICTS:
        those = [_judge(name) for name, each in opinions(record).items() if each == word]
        was_searched = (_finite(record, "inversions") or 1) > 1
        return _judged_by(those, word, "" if was_searched else f"; a smaller {LAMBDA} edits more")
    if judges:
        return "Its judges do not know which way was wanted: whether the class changed is for you to say."
    if "witness_after" in record:
        before, after = (_signed(f"{float(record[f'witness_{when}']):z.2f}") for when in ("before", "after"))
        return (
            f"No judge was asked. The witness function went from {before} to {after}; every edit lowers it, "
            "so that this proves nothing."
        )
    return ""


def _judged_by(those: Sequence[str], word: str, hint: str) -> str:
    names = " and ".join(those)
    return {
        "yes": f"Judged by {names}.",
        "already": f"To {names} it was there before the edit, too.",
        "no": f"{names[:1].upper()}{names[1:]} {'is' if len(those) == 1 else 'are'} not convinced{hint}.",
    }.get(word, "")


def _judge(name: str) -> str:
    return JUDGES.get(name, f"the judge {name.replace('_', ' ')}")


def _numbers(record: Record, judges: Mapping[str, str]) -> list[str]:
    """What each judge said before and after, and what it was to say where that is not plain."""
    wanted = {
        wish.judge: f"; {wish.beyond} {wish.threshold:.3g} was wanted"
        for wish in Wish.all_of(str(record.get("wanted", "")))
    }
    lines = []
    for name, cell in judges.items():
        before, _, after = cell.partition(" -> ")
        said = NUMBERS.get(name) or JUDGES.get(name) or name.replace("_", " ")
        lines.append(
            f"{said[:1].upper()}{said[1:]}: {_signed(before)} before, {_signed(after)} after{wanted.get(name, '')}."
        )
    return lines


def _kept(record: Record, how: str = "") -> str:
    end = f" {how}." if how else "."
    if (identity := _finite(record, "identity")) is not None:
        scale = end if how else f"; {SCALE}."
        return f"Likeness of the face (identity): {_signed(f'{identity:z.2f}')} of 1{scale}"
    if (ssim := _finite(record, "ssim")) is not None:
        return f"Likeness of structure (SSIM): {_signed(f'{ssim:z.2f}')} of 1{end}"
    return ""


def _signed(number: str) -> str:
    """With a minus sign, not a hyphen."""
    return number.replace("-", "−")  # noqa: RUF001


def _realised(cells: Record) -> str:
    return f"Of the way that lambda asks for it has gone {cells['realised']}." if cells["realised"] else ""


def _size(cells: Record) -> str:
    return f"As a whole the picture is {cells['picture']}." if cells["picture"] else ""


def _unconverged(cells: Record) -> str:
    what = {"walk": "the walk", "pixels": "the search for pixels", "both": "both walk and search for pixels"}
    where = what.get(str(cells["unconverged"]))
    return f"Stopped before it had converged: {where}." if where else ""


def _finite(record: Record, column: str) -> float | None:
    value = record.get(column)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
