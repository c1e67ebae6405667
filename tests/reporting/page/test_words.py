import pytest

from dmt.reporting.page.words import summary, words_of
from dmt.reporting.verdict_table import REMARKS, notes, remarks
from tests.reporting.page.made import image

EDITED = {"happy_before": 0.9, "happy_after": 0.1, "age_before": 31.0, "age_after": 36.0}
PICTURE = {"ssim": 0.61, "psnr": 14.0}


@pytest.mark.parametrize(
    ("record", "verdict", "did", "says"),
    [
        ({"probe_before": 0.03, "probe_after": 0.97}, "Changed", True, "the probe of the class"),
        ({"probe_before": 0.03, "probe_after": 0.3}, "Not changed", False, "is not convinced"),
        ({"classes_before": 0.9, "classes_after": 0.97}, "Was there already", False, "before the edit, too"),
        ({"happy_before": 0.9, "happy_after": 0.1}, "For you to judge", None, "P(happy): 0.90 before, 0.10 after."),
        (EDITED | {"wanted": "happy below 0.5"}, "Changed", True, "the judge of expressions"),
        (EDITED | {"wanted": "happy below 0.05"}, "Not changed", False, "0.10 after; below 0.05 was wanted"),
        (EDITED | {"wanted": "age above 41"}, "Not changed", False, "Judged age: 31 before, 36 after; above 41"),
        (EDITED | {"wanted": "happy below 0.5; age above 41"}, "Not changed", False, "The judge of ages is not"),
        (EDITED | {"wanted": "happy below 0.5; age above 35"}, "Changed", True, "expressions and the judge of ages"),
        ({"mood_before": 0.7, "mood_after": 0.8, "wanted": "mood above 0.5"}, "Was there already", False, "judge mood"),
        ({"witness_before": 0.25, "witness_after": -0.125}, "Not judged", None, "from 0.25 to −0.12"),  # noqa: RUF001
        ({"from": "3", "becomes": "8", "verdict": "confirmed"}, "Changed, and confirmed", True, "agrees"),
        ({"from": "3", "becomes": "8", "verdict": "adversarial"}, "Adversarial", False, "fooled"),
        ({"from": "3", "becomes": "8", "verdict": "yes"}, "Changed", True, "Nobody else was asked"),
        ({"from": "3", "becomes": "3", "verdict": "no"}, "Not changed", False, "not convinced"),
    ],
)
def test_verdicts_in_words(record, verdict, did, says):
    words = words_of({**record, **PICTURE})
    assert words.verdict == verdict
    assert words.did_change is did
    assert says in " ".join(words.sentences)


def test_what_was_kept_and_realised():
    faces = " ".join(words_of({**PICTURE, "identity": 0.82, "realised": 0.98, "delta": 1.0}).sentences)
    assert "0.82 of 1" in faces
    assert "0.61" not in faces
    assert "%" not in faces, "all of the way is not worth a word"
    assert "27 %" in " ".join(words_of({"realised": 0.27, "delta": 1.0}).sentences)
    assert "%" not in " ".join(words_of({"realised": 1.27, "delta": 1.0, "inversions": 5}).sentences)
    assert "0.61 of 1" in " ".join(words_of(PICTURE).sentences)
    assert "NaN" not in " ".join(words_of({"identity": float("nan"), "psnr": "inf"}).sentences)


def test_a_record_read_from_json_says_the_same():
    """There infinity is a word."""
    assert words_of({"psnr": "inf"}).sentences == words_of({"psnr": float("inf")}).sentences


def test_a_summary_counts():
    records = [{"probe_before": 0.1, "probe_after": end, "identity": 0.5} for end in (0.2, 0.9, 0.8)]
    assert summary(records).startswith("2 of 3 pictures changed class, by the probe")
    assert "0.50 of 1 on average" in summary(records)
    assert summary(records[:1]).startswith("The picture did not change class")
    assert "for you to judge" in summary([{"happy_before": 0.9, "happy_after": 0.1}] * 2)
    assert "not asked" in summary([{"witness_before": 0.9, "witness_after": 0.1}] * 2)
    told = {"happy_before": 0.9, "happy_after": 0.1, "wanted": "happy below 0.5"}
    assert summary([told, told | {"happy_after": 0.6}]).startswith("1 of 2 pictures changed class, by the judge of exp")
    assert summary([]) == ""


def test_remarks_are_notes_of_one_picture():
    one = image("one", psnr=50.0, turn=-0.5)
    assert len(remarks(one.record)) == 2
    assert set(remarks(one.record)) <= set(REMARKS)
    assert notes([one, image("two")]) == [f"1 of 2 {said}: one" for said in remarks(one.record)]
