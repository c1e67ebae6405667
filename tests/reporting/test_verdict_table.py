"""The table of the terminal, from records written by hand."""

import pytest

from dmt.reporting.verdict_table import mean_verdict, notes, verdict_rows, verdict_table
from tests.reporting.pictures import edited

PLAIN = {
    "lambda": 0.15,
    "witness_before": 0.2149,
    "witness_after": -0.0451,
    "psnr": 31.6,
    "ssim": 0.934,
    "change_largest": 80,
    "evaluations": 12,
    "objective": 159.3,
    "traversal_converged": True,
    "converged": True,
    "stopped": "converged",
    "seconds": 0.8534,
}
FACES = {"happy_before": 0.973, "happy_after": 0.118, "age_before": 31.44, "age_after": 32.8, "identity": 0.8249}


def test_without_a_judge_the_witness_speaks_and_the_last_line_says_where_judges_come_from():
    images = [edited("oranges/img_0042.jpg", **PLAIN), edited("oranges/img_0043.jpg", **PLAIN | {"psnr": 19.4})]
    assert verdict_table(images).split("\n") == [
        "image     lambda  changed                        kept              picture         seconds",
        "img_0042    0.15  by the witness: 0.21 -> -0.05  SSIM 0.93, 32 dB  little changed     0.85",
        "img_0043    0.15  by the witness: 0.21 -> -0.05  SSIM 0.93, 19 dB  much changed       0.85",
        "mean        0.15  by the witness: 0.21 -> -0.05  SSIM 0.93, 26 dB  changed            0.85",  # 25.5 dB
        "No judge was asked: judges=faces for faces, judges=[probe] data.reserved=0.25 for any class (--help judges).",
    ]


def test_judges_say_what_they_saw_and_no_side_is_claimed():
    images = [
        edited("a.jpg", **PLAIN, **FACES),
        edited("b.jpg", **PLAIN, **FACES | {"happy_after": 0.5, "identity": 1.0}),
    ]
    assert verdict_table(images).split("\n") == [
        "image  lambda  judge happy   judge age     kept           picture         seconds",
        "a        0.15  0.97 -> 0.12  31.4 -> 32.8  identity 0.82  little changed     0.85",
        "b        0.15  0.97 -> 0.50  31.4 -> 32.8  identity 1.00  little changed     0.85",
        "mean     0.15  0.97 -> 0.31  31.4 -> 32.8  identity 0.91  little changed     0.85",
    ]


WANTED = {"wanted": "happy below 0.5"}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"probe_before": 0.03, "probe_after": 0.94}, "yes"),
        ({"probe_before": 0.03, "probe_after": 0.5}, "no"),
        ({"probe_before": 0.7, "probe_after": 0.94}, "already"),
        ({"probe_before": 0.7, "probe_after": 0.2}, "no"),
        ({"classes_before": 0.03, "classes_after": 0.94}, "yes"),
        ({"classes_before": 0.7, "classes_after": 0.94}, "already"),
        ({"classes_before": 0.03, "classes_after": 0.94, "probe_before": 0.1, "probe_after": 0.2}, "no"),
        ({"classes_before": 0.03, "classes_after": 0.94, "probe_before": 0.6, "probe_after": 0.7}, "yes"),
        ({"happy_before": 0.9, "happy_after": 0.2} | WANTED, "yes"),
        ({"happy_before": 0.9, "happy_after": 0.6} | WANTED, "no"),
        ({"happy_before": 0.9, "happy_after": 0.2, "probe_before": 0.1, "probe_after": 0.2} | WANTED, "no"),
        ({"age_before": 30.0, "age_after": 44.0, "wanted": "age above 40"}, "yes"),
        ({"classifier_before": 0.03, "classifier_after": 0.4, "classes_before": 0.1, "classes_after": 0.9}, "no"),
        ({"classifier_after": 0.9, "verdict": "adversarial"}, "adversarial"),
        ({"happy_before": 0.9, "happy_after": 0.2, "reached": True}, "yes"),
        ({"happy_before": 0.9, "happy_after": 0.8, "reached": False}, "no"),
        ({"probe_before": 0.03, "probe_after": 0.94, "verdict": "hardly changed"}, "hardly changed"),
        ({"verdict": "not"}, "not"),
        ({}, "by the witness: 0.21 -> -0.05"),
    ],
)
def test_whether_the_class_changed_is_said_where_it_is_known(columns, expected):
    row, _ = verdict_rows([edited("a", **PLAIN, **columns)])
    assert row["changed"] == expected


def test_the_judge_whose_side_is_known_comes_first():
    row, _ = verdict_rows([edited("a", **PLAIN, **FACES, probe_before=0.03, probe_after=0.944)])
    assert [column for column in row if column.startswith("judge")] == ["judge probe", "judge happy", "judge age"]
    assert row["judge probe"] == "0.03 -> 0.94"


def test_verdicts_are_counted_in_the_last_row():
    judged = [{"probe_before": 0.1, "probe_after": after} for after in (0.9, 0.8, 0.3, 0.2, 0.7)]
    *_, last = verdict_rows([edited("a", **PLAIN, **columns) for columns in judged])
    assert (last["image"], last["changed"], last["judge probe"]) == ("mean", "3 of 5", "0.10 -> 0.58")
    words = ["changed", "hardly changed", "not", "changed"]
    assert mean_verdict([{**PLAIN, "verdict": word} for word in words])["changed"] == "2 of 4"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"psnr": float("inf"), "change_largest": 0}, "unchanged"),
        ({"psnr": 70.0, "change_largest": 0}, "unchanged"),  # less than half of a step of 8 bits
        ({"psnr": 45.0}, "hardly changed"),
        ({"psnr": 44.9}, "little changed"),
        ({"psnr": 30.0}, "little changed"),
        ({"psnr": 29.9}, "changed"),
        ({"psnr": 20.0}, "changed"),
        ({"psnr": 19.9}, "much changed"),
    ],
)
def test_how_much_the_picture_changed_is_said_in_words(columns, expected):
    row, _ = verdict_rows([edited("a", **PLAIN | columns)])
    assert row["picture"] == expected


@pytest.mark.parametrize(
    ("walk", "pixels", "expected"),
    [(True, False, "pixels"), (False, True, "walk"), (False, False, "both")],
)
def test_a_solver_that_did_not_converge_is_named_in_one_word(walk, pixels, expected):
    failed = PLAIN | {"traversal_converged": walk, "converged": pixels}
    first, second, last = verdict_rows([edited("a", **PLAIN), edited("b", **failed)])
    assert (first["unconverged"], second["unconverged"], last["unconverged"]) == ("", expected, "1 of 2")
    assert list(first)[-1] == "unconverged"


def test_what_the_solvers_did_is_for_the_files():
    row, _ = verdict_rows([edited("a", **PLAIN, inversions=3)])
    assert list(row) == ["image", "lambda", "changed", "kept", "picture", "seconds"]


@pytest.mark.parametrize(
    ("share", "expected"),
    [(1.0, ""), (0.951, ""), (1.049, ""), (0.94, "94 %"), (1.2, "120 %"), (0.123, "12 %"), (float("nan"), "")],
)
def test_what_share_of_the_displacement_was_realised_is_said_where_it_is_not_all(share, expected):
    first, second, *_ = verdict_rows([edited("a", **PLAIN, realised=0.5), edited("b", **PLAIN, realised=share)])
    assert (first["realised"], second["realised"]) == ("50 %", expected)
    assert list(first).index("kept") < list(first).index("realised") < list(first).index("picture")
    if not expected:
        assert "realised" not in verdict_rows([edited("b", **PLAIN, realised=share)])[0]


def test_the_mean_share_is_in_the_last_row():
    *_, last = verdict_rows([edited("a", **PLAIN, realised=share) for share in (0.5, 0.7, float("nan"))])
    assert last["realised"] == "60 %"


# What is said below the table

ARRIVED = PLAIN | {"realised": 1.0, "multiplier": 3.5, "was_target": False, "unlike_sets": False}


def test_of_edits_as_they_should_be_nothing_is_said():
    assert notes([edited("a", **ARRIVED), edited("b", **ARRIVED | {"realised": 0.96})]) == []
    assert notes([edited("a", **PLAIN)]) == []  # of studies, whose records have less
    assert notes([]) == []


def test_what_a_user_should_know_of_some_edits_is_a_line_each():
    images = [
        edited("x/a.jpg", **ARRIVED | {"was_target": True}),
        edited("x/b.jpg", **ARRIVED),
        edited("x/c.jpg", **ARRIVED | {"was_target": True, "psnr": 48.0}),
        edited("x/d.jpg", **ARRIVED | {"change_largest": 0}),
        edited("x/e.jpg", **ARRIVED | {"realised": 0.8, "unlike_sets": True, "turn": 0.1}),
    ]
    assert notes(images) == [
        "2 of 5 taken by the witness for the target's class before: a, c",
        "1 of 5 unlike all that the edit compares with (a turned head, a wide open mouth?), so look at the result: e",
        "2 of 5 hardly changed; a smaller lambda edits more: c, d",
        "1 of 5 did not reach lambda's displacement: e",
    ]


def test_what_is_no_head_is_not_said_to_be_turned():
    (line,) = notes([edited("orange.jpg", **ARRIVED | {"unlike_sets": True})])
    assert line == "1 of 1 unlike all that the edit compares with, so look at the result: orange"


@pytest.mark.parametrize(
    ("before", "after", "is_told"), [(1.0, 1.4, False), (1.0, 1.6, True), (2.0, 2.9, False), (0.5, 1.4, False)]
)
def test_a_walk_that_leaves_all_pictures_is_told(before, after, is_told):
    said = notes([edited("a", **ARRIVED, far_before=before, far_after=after)])
    expected = "1 of 1 taken where no picture is; a larger lambda, or method.walk.within=1.2, stays nearer: a"
    assert said == ([expected] if is_told else [])


def test_how_far_a_walk_went_is_no_judges_word():
    row, _ = verdict_rows([edited("a", **PLAIN, far_before=1.0, far_after=1.2)])
    assert not {"judge far", "judge witness"} & set(row)


@pytest.mark.parametrize(("turn", "is_told"), [(0.1, False), (-0.33, False), (-0.5, True), (0.4, True)])
def test_a_head_that_is_turned_to_the_side_is_told(turn, is_told):
    said = notes([edited("a", **ARRIVED, turn=turn)])
    expected = "1 of 1 turned to the side, where lines of a face from the front may appear; look at the result: a"
    assert said == ([expected] if is_told else [])


def test_of_an_inversion_that_only_does_what_regularizers_let_through_no_lack_is_noted():
    assert notes([edited("a", **ARRIVED | {"realised": 0.2, "multiplier": 1.0})]) == []
    assert notes([edited("a", **ARRIVED | {"realised": float("nan"), "multiplier": 4.0})]) == []


def test_several_edits_of_one_input_are_told_apart_and_have_no_mean():
    rows = verdict_rows([edited("x/a.jpg", **PLAIN, edit=edit) for edit in ("older", "younger")])
    assert [(row["image"], row["edit"]) for row in rows] == [("a", "older"), ("a", "younger")]


def test_what_is_unknown_is_left_out():
    rows = verdict_rows([edited("a", psnr=float("nan"))])
    assert rows == [{"image": "a"}, {"image": "mean"}]


def test_infinite_lambda_and_numbers_that_became_words():
    row, last = verdict_rows([edited("a", **PLAIN | {"lambda": float("inf"), "psnr": "inf"})])
    assert (row["lambda"], row["picture"]) == (float("inf"), "unchanged")
    assert last["lambda"] == ""


@pytest.mark.parametrize("n_judges", [0, 1, 3, 6])
@pytest.mark.parametrize("length", [1, 300])
def test_no_line_is_wider_than_asked(n_judges, length):
    record = PLAIN | {"converged": False, "identity": 0.5}
    record |= {f"face{n}_{when}": 0.25 for n in range(n_judges) for when in ("before", "after")}
    lines = verdict_table([edited("x" * length + "_0042", **record)], width=110).split("\n")
    assert max(map(len, lines)) <= 110
    assert lines[1].split()[0].endswith("_0042")
    shown = lines[0].count("judge face")
    told = sum(line.count("judge face") for line in lines[1:] if line.startswith("In results.csv only: "))
    assert shown + told == n_judges
    assert shown >= min(n_judges, 2)


def test_of_a_long_name_the_end_is_shown():
    first = verdict_table([edited("a" * 200 + "img_0042", **PLAIN)]).split("\n")[1].split("  ")[0]
    assert first.startswith("…")
    assert first.endswith("img_0042")


def test_no_pictures_are_no_table():
    assert verdict_table([]) == ""


OF_CLASSES = {"happy_before": 0.1, "happy_after": 0.9, "classes_before": 0.2, "classes_after": 0.8}


def test_judges_of_the_classes_come_before_others():
    header = verdict_table([edited("a", **PLAIN, **OF_CLASSES)]).split("\n")[0]
    assert header.index("judge classes") < header.index("judge happy")
    record = OF_CLASSES | {"classifier_before": 0.2, "classifier_after": 0.6}
    assert len([column for column in verdict_rows([edited("a", **record)])[0] if column.startswith("judge")]) == 3


def test_what_is_confirmed_counts_as_changed_and_what_is_adversarial_does_not():
    words = ("confirmed", "adversarial", "no", "yes", "changed")
    last = verdict_rows([edited(name, **PLAIN, verdict=word) for name, word in zip("abcde", words, strict=True)])[-1]
    assert last["changed"] == "3 of 5"


@pytest.mark.parametrize(("inversions", "is_told"), [(1, True), (None, True), (6, False)])
def test_of_a_lambda_that_was_searched_for_it_is_of_no_account_how_much_was_realised(inversions, is_told):
    record = PLAIN | {"realised": 0.8, "multiplier": 4.0} | ({} if inversions is None else {"inversions": inversions})
    row = verdict_rows([edited("a", **record)])[0]
    assert row.get("realised", "") == ("80 %" if is_told else "")
    assert notes([edited("a", **record)]) == (["1 of 1 did not reach lambda's displacement: a"] if is_told else [])
