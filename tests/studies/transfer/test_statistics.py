import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from dmt.errors import UserError
from dmt.studies.transfer.gains import gains
from dmt.studies.transfer.rows import COLUMNS, Run, read_runs, runs_of
from dmt.studies.transfer.statistics import (
    CONTRASTS,
    Contrast,
    above_chance,
    best10,
    difference_of_means,
    distances,
    effects,
    last,
    paired,
    t_interval,
    unfit_bases,
)

NAN = math.nan
DIP = Contrast("co-adaptation", "selffer", "base", is_dip=True)
FALL = Contrast("transfer", "transfer", "base")
SPECIFICITY = Contrast("specificity", "transfer", "selffer")


def run(treatment, top1, target="B", n=3, seed=0, split="random", classes=20, status="ok", images=None):
    copied = {"A": "B", "B": "A"}[target] if treatment.startswith("transfer") else target
    n = 0 if treatment in ("base", "base_long") else n
    base = "" if treatment == "random" else copied
    return Run(
        "study",
        treatment,
        n,
        "",
        base,
        target,
        split,
        seed,
        images,
        classes,
        top1,
        top1 + 0.5,
        0.1,
        1.0,
        9,
        60,
        status,
        key=f"{treatment} {n} {target} {seed}",
    )


def text_row(one):
    return {name: "" if value is None else str(value) for name, value in zip(COLUMNS, vars(one).values(), strict=True)}


# Rows


def test_random_filters_have_no_base(store):
    (found,) = read_runs(store([text_row(run("random", 5.0, target="A")) | {"base": "A"}]))
    assert (found.base, found.target) == ("", "A")


def test_a_store_gives_back_what_was_written(store):
    runs = [run("base", 60.5), run("transfer", 51.25, n=7, images=50), replace(run("random", 5.0), layer="conv3")]
    assert read_runs(store(map(text_row, runs))) == runs


def test_what_was_not_measured_is_no_number(store):
    row = text_row(run("base", 60.0)) | {"val_loss": "", "seconds": "nan"}
    (found,) = read_runs(store([row]))
    assert math.isnan(found.val_loss)
    assert math.isnan(found.seconds)


@pytest.mark.parametrize(
    ("column", "text", "words"),
    [
        ("treatment", "transfr", "one of base, .*did you mean 'transfer'.*got 'transfr'"),
        ("n", "2.5", "whole number, 0 or more, got '2.5'"),
        ("n", "0", "1 or more for transfer"),
        ("n", "nan", "whole number"),
        ("base", "B", "another task than the target"),
        ("target", "C", "one of A, B"),
        ("top1_last", "151", "a percentage from 0 to 100, got '151'"),
        ("top1_best10", "", "a percentage"),
        ("classes", "1", "2 or more"),
        ("images_per_class", "many", "whole number"),
        ("val_loss", "1.2.3", "a number, nan or empty"),
        ("status", "fine", "one of ok, unconverged, saturated"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_by_its_line(store, column, text, words):
    rows = [text_row(run("base", 60.0)), text_row(run("transfer", 50.0)) | {column: text}]
    path = store(rows)
    before = path.read_bytes()
    with pytest.raises(UserError, match=rf"runs.csv, line 3: {column} must be .*{words}.*; remove or mend this line"):
        read_runs(path)
    assert path.read_bytes() == before


def test_a_line_cut_short_is_named(store):
    path = store([text_row(run("base", 60.0))])
    whole = path.read_text()
    path.write_text(whole + "base,0,,A,A,ran")
    with pytest.raises(UserError, match=r"line 3 has another number of values.*trained again"):
        read_runs(path)


def test_bytes_that_are_no_text_are_named_by_their_line(store):
    path = store([text_row(run("base", 60.0))])
    path.write_bytes(path.read_bytes() + b"base,\xff\xfe")
    with pytest.raises(UserError, match="line 3 is not UTF-8 text"):
        read_runs(path)


def test_two_rows_of_one_cell_are_refused_by_their_lines(store):
    row = text_row(run("base", 60.0))
    with pytest.raises(UserError, match=r"line 3 and .*line 2 are both of study: base n=0 B->B random 0; keep one"):
        read_runs(store([row, row | {"top1_last": "61"}]))


def test_a_store_that_is_missing_empty_or_of_another_kind(store, tmp_path):
    with pytest.raises(UserError, match=r"there is no store .*nothing\.csv; train some cells first"):
        read_runs(tmp_path / "nothing.csv")
    with pytest.raises(UserError, match="has no rows yet"):
        read_runs(store([]))
    with pytest.raises(UserError, match="line 1 is not the header of a study's rows; name another file"):
        read_runs(store([{"file": "x"}], header=["file"]))


def test_rows_that_are_no_text_are_read_as_well():
    one = run("selffer", 58.0, images=40)
    assert runs_of([vars(one)]) == [one]


# Intervals


def test_the_interval_of_a_mean_is_scipys():
    values = [0.3, -1.2, 0.7, 0.1]
    theirs = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = t_interval(values)
    assert found.value == pytest.approx(-0.025)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert (found.units, found.sd) == (4, pytest.approx(np.std(values, ddof=1)))


def test_a_single_value_and_none_have_no_interval():
    assert t_interval([2.0]).value == 2.0
    for found in (t_interval([2.0]), t_interval([])):
        assert math.isnan(found.low)
        assert found.verdict == "not resolved"


@pytest.mark.parametrize(("shift", "verdict"), [(-2.0, "falls"), (2.0, "rises"), (0.0, "not resolved")])
def test_the_verdict_is_where_zero_lies(shift, verdict):
    assert t_interval([shift - 0.1, shift, shift + 0.1]).verdict == verdict


def test_the_interval_of_a_difference_is_welchs():
    first, second = [-9.0, -7.5, -8.2], [-3.0, -3.1, -2.2, -2.9]
    theirs = scipy.stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    found = difference_of_means(first, second)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


def test_a_single_dissimilar_division_is_judged_by_the_spread_of_the_others():
    """Student's prediction interval: mean difference +- t s sqrt(1 + 1/n)."""
    others = np.array([-3.0, -3.1, -2.2, -2.9])
    half = scipy.stats.t.ppf(0.975, 3) * others.std(ddof=1) * math.sqrt(1 + 1 / 4)
    for found, sign in ((difference_of_means([-8.0], others), 1), (difference_of_means(others, [-8.0]), -1)):
        assert found.value == pytest.approx(sign * (-8.0 - others.mean()))
        assert found.high - found.low == pytest.approx(2 * half)
    assert math.isnan(difference_of_means([1.0], [2.0]).low)
    assert math.isnan(difference_of_means([], [2.0]).value)


def test_without_any_spread_the_interval_has_no_width():
    found = difference_of_means([2.0, 2.0], [1.0, 1.0])
    assert (found.low, found.high) == (1.0, 1.0)


# Pairs


def test_a_network_is_compared_with_the_base_of_its_own_target_and_division():
    bases = [run("base", 60 + 10 * seed + 5 * (target == "A"), target, seed=seed) for seed in (0, 1) for target in "AB"]
    arms = [run("transfer", one.top1_last - 2, one.target, seed=one.split_seed) for one in bases]
    differences = [pair.difference(last) for pair in paired([*arms, *bases], FALL)]
    assert differences == [-2.0] * 4


def test_specificity_is_paired_layer_by_layer():
    runs = [
        run("selffer", 50.0, n=3),
        run("selffer", 40.0, n=4),
        run("transfer", 47.0, n=3),
        run("transfer", 30.0, n=4),
    ]
    assert {pair.run.n: pair.difference(last) for pair in paired(runs, SPECIFICITY)} == {3: -3.0, 4: -10.0}


def test_other_numbers_of_images_are_never_compared():
    assert paired([run("base", 60.0, images=50), run("transfer", 50.0, images=100)], FALL) == []


def test_directions_of_a_division_are_averaged_before_the_interval():
    """Differences -1, -3 | -2, -6 | -3, -3: three units of -2, -4, -3, not six."""
    differences = {(0, "A"): -1, (0, "B"): -3, (1, "A"): -2, (1, "B"): -6, (2, "A"): -3, (2, "B"): -3}
    runs = [
        run(treatment, 60 + seed + change * (treatment == "transfer"), target, seed=seed)
        for (seed, target), change in differences.items()
        for treatment in ("base", "transfer")
    ]
    (found,) = effects(runs, [FALL])
    theirs = scipy.stats.ttest_1samp([-2, -4, -3], 0).confidence_interval(0.95)
    assert (found.estimate.value, found.estimate.low, found.estimate.high) == pytest.approx(
        (-3, theirs.low, theirs.high)
    )
    assert (found.pairs, found.estimate.units, found.verdict) == (6, 3, "falls")


def test_the_measure_is_asked_for():
    runs = [run("base", 60.0), replace(run("transfer", 50.0), top1_best10=57.5)]
    assert effects(runs, [FALL], best10)[0].estimate.value == -3.0


def test_above_chance_is_the_share_of_the_way_from_chance_to_all():
    """4 classes: chance is 25, so 62.5 is half of the way, 25 none, 100 all."""
    ways = [above_chance(last)(run("base", top1, classes=4)) for top1 in (62.5, 25.0, 100.0)]
    assert ways == [50.0, 0.0, 100.0]


def test_every_contrast_with_the_base_is_made_with_the_longer_base_too():
    against = {kind: {c.arm for c in CONTRASTS if c.reference == kind} for kind in ("base", "base_long")}
    assert against["base"] - {"base_long"} == against["base_long"]
    assert {c.formula for c in CONTRASTS} >= {"BnB - base", "AnB - BnB", "BnB+ - base", "AnB+ - base", "AnB+ - BnB+"}


# What a base cannot show


@pytest.mark.parametrize("status", ["unconverged", "saturated"])
def test_an_unfit_base_voids_the_dip(status):
    runs = [run("base", 60.0, status=status), run("selffer", 55.0)]
    (found,) = effects(runs, [DIP])
    assert (found.verdict, found.pairs, found.void) == ("void", 0, 1)
    assert math.isnan(found.estimate.value)
    assert [one.cell for one in unfit_bases(runs)] == ["study: base n=0 B->B random 0"]


def test_a_saturated_base_still_shows_transfer_an_unconverged_one_does_not():
    for status, pairs in (("saturated", 1), ("unconverged", 0)):
        (found,) = effects([run("base", 60.0, status=status), run("transfer", 55.0)], [FALL])
        assert found.pairs == pairs


def test_copied_layers_of_an_unconverged_base_void_too():
    bases = [run("base", 60.0), run("base", 60.0, "A", status="unconverged")]
    (pair,) = paired([*bases, run("transfer", 55.0)], FALL)
    assert pair.void == "base of A is unconverged"
    (pair,) = paired([*bases, run("random", 5.0)], Contrast("random weights", "random", "base"))
    assert pair.void == "", "random filters were copied from no base"


def test_only_the_void_division_is_left_out():
    runs = [run("base", 60.0, seed=seed, status="saturated" if seed == 2 else "ok") for seed in range(3)]
    runs += [run("selffer", top1, seed=seed) for seed, top1 in enumerate((58.0, 57.0, 20.0))]
    (found,) = effects(runs, [DIP])
    assert (found.estimate.value, found.pairs, found.void) == (-2.5, 2, 1)


# Similar and dissimilar


def test_the_difference_of_differences_is_that_of_the_divisions():
    falls = {("random", 0): -3.0, ("random", 1): -4.0, ("random", 2): -3.5, ("man_made_natural", 0): -9.0}
    runs = [
        run(treatment, 60 + change * (treatment == "transfer"), seed=seed, split=split)
        for (split, seed), change in falls.items()
        for treatment in ("base", "transfer")
    ]
    (found,) = distances(runs, [FALL])
    half = scipy.stats.t.ppf(0.975, 2) * 0.5 * math.sqrt(1 + 1 / 3)
    assert found.difference.value == pytest.approx(-5.5)
    assert found.difference.high == pytest.approx(-5.5 + half)
    assert found.difference.verdict == "falls"
    assert (found.similar.value, found.dissimilar.value) == (-3.5, -9.0)
    assert distances([one for one in runs if one.split == "random"], [FALL]) == []


# Table 1


def fine_tuned():
    """A is easier by 6 points; AnB+ was trained for A alone, BnB+ for B alone; both gain 1 point."""
    bases = [run("base", 66.0, "A"), run("base", 60.0, "B")]
    arms = [run("transfer_finetuned", 67.0, "A", n=n) for n in (1, 5)]
    return [*bases, *arms, *(run("selffer_finetuned", 61.0, "B", n=n) for n in (1, 5))]


def by_pairing(runs, formula, layers=(1, 7)):
    return {g.pairing: g for g in gains(runs) if g.contrast.formula == formula and g.layers == layers}


def test_unbalanced_targets_raise_the_unpaired_gain_and_the_table_says_so():
    found = by_pairing(fine_tuned(), "AnB+ - base")
    assert found["paired"].value == 1.0
    assert (found["unpaired"].value, found["unpaired"].of_targets) == (4.0, 3.0)
    assert found["unpaired"].warning == "targets are unbalanced: their bases average 66.00 for AnB+, 63.00 for base"
    assert found["paired"].warning == ""


def test_arms_without_a_common_target_are_compared_by_their_bases():
    found = by_pairing(fine_tuned(), "AnB+ - BnB+")
    assert found["paired"].networks == 0
    assert found["paired"].warning == "the two share no target"
    assert (found["by base"].value, found["by base"].estimate.value) == (0.0, 0.0)
    assert (found["unpaired"].value, found["unpaired"].of_targets) == (6.0, 6.0)


def test_balanced_targets_need_no_warning_and_pairing_changes_nothing():
    runs = fine_tuned() + [run("transfer_finetuned", 61.5, "B", n=n) for n in (1, 5)]
    found = by_pairing(runs, "AnB+ - base")
    assert found["unpaired"].warning == ""
    assert found["paired"].value == found["unpaired"].value == 1.25


def test_a_range_holds_its_layers_alone():
    runs = [*fine_tuned(), run("transfer_finetuned", 69.0, "A", n=3)]
    assert by_pairing(runs, "AnB+ - base", (3, 7))["paired"].value == 2.0
    assert by_pairing(runs, "AnB+ - base", (5, 7))["paired"].networks == 1


def test_a_gain_over_unconverged_bases_alone_is_void():
    runs = [run("base", 60.0, status="unconverged"), run("selffer_finetuned", 61.0)]
    found = by_pairing(runs, "BnB+ - base")["paired"]
    assert math.isnan(found.value)
    assert found.warning == "void: base of B is unconverged"


def test_networks_over_unconverged_bases_are_told_where_nothing_is_paired():
    runs = [
        run("base", 60.0, status="unconverged"),
        run("selffer_finetuned", 61.0),
        run("selffer_finetuned", 61.0, n=2),
    ]
    found = by_pairing(runs, "BnB+ - base")["unpaired"]
    assert found.value == 1.0
    assert found.warning == "3 of the 3 networks rest on a base that is unconverged"
