import math

import numpy as np
import pytest
import scipy.stats

from dmt.studies.transfer.differences import (
    CONTRASTS,
    PairedContrast,
    above_chance,
    difference_of_means,
    differences,
    dissimilar,
    mean_interval,
    paired,
    unfit_bases,
)
from dmt.studies.transfer.gains import gains
from dmt.studies.transfer.rows import checked, frame_of

DIP = PairedContrast("selffer", "base")
FALL = PairedContrast("transfer", "base")
SPECIFICITY = PairedContrast("transfer", "selffer")


def run(treatment, top1, target="B", **known):
    """A row of which only what matters to a test is told."""
    copied = {"A": "B", "B": "A"}[target] if treatment.startswith("transfer") else target
    row = {"study": "study", "treatment": treatment, "n": 3, "base": copied, "target": target, "split": "random"}
    row |= {"split_seed": 0, "classes": 20, "top1_last": top1, "top1_best10": top1 + 0.5, "status": "ok", "key": "k"}
    row |= {"n": 0} if treatment in ("base", "base_long") else {}
    return checked(row | known, "a row")


# Intervals


def test_the_interval_of_a_mean_is_scipys():
    values = [0.3, -1.2, 0.7, 0.1]
    theirs = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = mean_interval(values)
    assert found.value == pytest.approx(-0.025)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert found.n == 4


def test_a_single_value_and_none_have_no_interval():
    one, none = mean_interval([2.0]), mean_interval([])
    assert one.value == 2.0
    assert math.isnan(one.low)
    assert math.isnan(none.low)
    assert (one.verdict, none.verdict) == ("not resolved: one division, no interval", "not resolved")


@pytest.mark.parametrize(("shift", "verdict"), [(-2.0, "falls"), (2.0, "rises"), (0.0, "not resolved")])
def test_the_verdict_is_where_zero_lies(shift, verdict):
    assert mean_interval([shift - 0.1, shift, shift + 0.1]).verdict == verdict


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
    assert difference_of_means([1.0], [2.0]).value == -1
    assert math.isnan(difference_of_means([1.0], [2.0]).low)
    assert math.isnan(difference_of_means([], [2.0]).value)


def test_without_any_spread_the_interval_has_no_width():
    found = difference_of_means([2.0, 2.0], [1.0, 1.0])
    assert (found.low, found.high) == (1.0, 1.0)


# Pairs


def pairs_of(rows, contrast):
    return list(paired(frame_of(rows), contrast).itertuples())


def differences_of(rows, contrast):
    return list(differences(frame_of(rows), [contrast]).itertuples())


def test_a_network_is_compared_with_the_base_of_its_own_target_and_division():
    bases = [
        run("base", 60 + 10 * seed + 5 * (target == "A"), target, split_seed=seed) for seed in (0, 1) for target in "AB"
    ]
    arms = [run("transfer", one["top1_last"] - 2, one["target"], split_seed=one["split_seed"]) for one in bases]
    assert [pair.difference for pair in pairs_of([*arms, *bases], FALL)] == [-2.0] * 4


def test_specificity_is_paired_layer_by_layer():
    rows = [
        run("selffer", 50.0, n=3),
        run("selffer", 40.0, n=4),
        run("transfer", 47.0, n=3),
        run("transfer", 30.0, n=4),
    ]
    assert {pair.n: pair.difference for pair in pairs_of(rows, SPECIFICITY)} == {3: -3.0, 4: -10.0}


def test_other_numbers_of_images_are_never_compared():
    rows = [run("base", 60.0, images_per_class=50), run("transfer", 50.0, images_per_class=100)]
    assert pairs_of(rows, FALL) == differences_of(rows, FALL) == []


def test_directions_of_a_division_are_averaged_before_the_interval():
    """Differences -1, -3 | -2, -6 | -3, -3: three units of -2, -4, -3, not six."""
    changes = {(0, "A"): -1, (0, "B"): -3, (1, "A"): -2, (1, "B"): -6, (2, "A"): -3, (2, "B"): -3}
    rows = [
        run(treatment, 60 + seed + change * (treatment == "transfer"), target, split_seed=seed)
        for (seed, target), change in changes.items()
        for treatment in ("base", "transfer")
    ]
    (found,) = differences_of(rows, FALL)
    theirs = scipy.stats.ttest_1samp([-2, -4, -3], 0).confidence_interval(0.95)
    assert (found.difference, found.low, found.high) == pytest.approx((-3, theirs.low, theirs.high))
    assert (found.pairs, found.divisions, found.verdict) == (6, 3, "falls")


def test_the_accuracy_that_is_compared_may_be_another():
    runs = frame_of([run("base", 60.0), run("transfer", 50.0, top1_best10=57.5)])
    assert list(differences(runs, [FALL])["difference"]) == [-10.0]
    assert list(differences(runs.assign(top1=runs["top1_best10"]), [FALL])["difference"]) == [-3.0]


def test_above_chance_is_the_share_of_the_way_from_chance_to_all():
    """4 classes: chance is 25, so 62.5 is half of the way, 25 none, 100 all."""
    runs = frame_of([run("base", top1, classes=4, top1_best10=0) for top1 in (62.5, 25.0, 100.0)])
    assert list(above_chance(runs)["top1"]) == [50.0, 0.0, 100.0]


def test_every_contrast_with_the_base_is_made_with_the_longer_base_too():
    against = {kind: {c.arm for c in CONTRASTS if c.reference == kind} for kind in ("base", "base_long")}
    assert against["base"] - {"base_long"} == against["base_long"]
    assert {c.formula for c in CONTRASTS} >= {"BnB - base", "AnB - BnB", "BnB+ - base", "AnB+ - base", "AnB+ - BnB+"}


# What a base cannot show


@pytest.mark.parametrize("status", ["unconverged", "saturated"])
def test_an_unfit_base_voids_the_dip(status):
    rows = [run("base", 60.0, status=status), run("selffer", 55.0)]
    (found,) = differences_of(rows, DIP)
    assert (found.verdict, found.pairs, found.void) == ("void", 0, 1)
    assert math.isnan(found.difference)
    assert unfit_bases(frame_of(rows))["treatment"].to_list() == ["base"]


def test_a_saturated_base_still_shows_transfer_an_unconverged_one_does_not():
    for status, pairs in (("saturated", 1), ("unconverged", 0)):
        (found,) = differences_of([run("base", 60.0, status=status), run("transfer", 55.0)], FALL)
        assert found.pairs == pairs


def test_copied_layers_of_an_unconverged_base_void_too():
    bases = [run("base", 60.0), run("base", 60.0, "A", status="unconverged")]
    (pair,) = pairs_of([*bases, run("transfer", 55.0)], FALL)
    assert pair.void == "base of A is unconverged"
    (pair,) = pairs_of([*bases, run("random", 5.0)], PairedContrast("random", "base"))
    assert pair.void == "", "random filters were copied from no base"


def test_the_longer_base_voids_what_is_compared_with_it():
    bases = [run("base", 60.0, status="saturated"), run("base_long", 60.0, status="saturated")]
    (pair,) = pairs_of([*bases, run("selffer", 55.0)], PairedContrast("selffer", "base_long"))
    assert pair.void == "base of B is saturated, base_long of B is saturated"


def test_only_the_void_division_is_left_out():
    rows = [run("base", 60.0, split_seed=seed, status="saturated" if seed == 2 else "ok") for seed in range(3)]
    rows += [run("selffer", top1, split_seed=seed) for seed, top1 in enumerate((58.0, 57.0, 20.0))]
    (found,) = differences_of(rows, DIP)
    assert (found.difference, found.pairs, found.void) == (-2.5, 2, 1)


# Similar and dissimilar


def test_the_difference_of_differences_is_that_of_the_divisions():
    falls = {("random", 0): -3.0, ("random", 1): -4.0, ("random", 2): -3.5, ("man_made_natural", 0): -9.0}
    runs = frame_of(
        run(treatment, 60 + change * (treatment == "transfer"), split_seed=seed, split=split)
        for (split, seed), change in falls.items()
        for treatment in ("base", "transfer")
    )
    (found,) = dissimilar(runs).itertuples()
    half = scipy.stats.t.ppf(0.975, 2) * 0.5 * math.sqrt(1 + 1 / 3)
    assert found.difference == pytest.approx(-5.5)
    assert found.high == pytest.approx(-5.5 + half)
    assert found.verdict == "falls"
    assert (found.similar, found.dissimilar, found.divisions) == (-3.5, -9.0, "1 and 3")
    assert dissimilar(runs[runs["split"] == "random"]).empty


# Table 1


def fine_tuned():
    """A is easier by 6 points; AnB+ was trained for A alone, BnB+ for B alone; both gain 1 point."""
    bases = [run("base", 66.0, "A"), run("base", 60.0, "B")]
    arms = [run("transfer_finetuned", 67.0, "A", n=n) for n in (1, 5)]
    return [*bases, *arms, *(run("selffer_finetuned", 61.0, "B", n=n) for n in (1, 5))]


def by_pairing(rows, formula, layers="1-7"):
    table = gains(frame_of(rows)).itertuples()
    return {row.pairing: row for row in table if (row.difference_of, row.layers) == (formula, layers)}


def test_unbalanced_targets_raise_the_unpaired_gain_and_the_table_says_so():
    found = by_pairing(fine_tuned(), "AnB+ - base")
    assert found["paired"].gain == 1.0
    assert (found["unpaired"].gain, found["unpaired"].of_targets) == (4.0, 3.0)
    assert found["unpaired"].warning == "targets are unbalanced: their bases average 66.00 for AnB+, 63.00 for base"
    assert found["paired"].warning == ""


def test_arms_without_a_common_target_are_compared_by_their_bases():
    found = by_pairing(fine_tuned(), "AnB+ - BnB+")
    assert found["paired"].networks == 0
    assert found["paired"].warning == "the two share no target"
    assert (found["by base"].gain, found["by base"].over_divisions) == (0.0, 0.0)
    assert (found["unpaired"].gain, found["unpaired"].of_targets) == (6.0, 6.0)


def test_balanced_targets_need_no_warning_and_pairing_changes_nothing():
    rows = fine_tuned() + [run("transfer_finetuned", 61.5, "B", n=n) for n in (1, 5)]
    found = by_pairing(rows, "AnB+ - base")
    assert found["unpaired"].warning == ""
    assert found["paired"].gain == found["unpaired"].gain == 1.25
    assert (found["paired"].networks, found["paired"].references) == (4, 2)


def test_a_range_holds_its_layers_alone():
    rows = [*fine_tuned(), run("transfer_finetuned", 69.0, "A", n=3)]
    assert by_pairing(rows, "AnB+ - base", "3-7")["paired"].gain == 2.0
    assert by_pairing(rows, "AnB+ - base", "5-7")["paired"].networks == 1


def test_a_gain_over_unconverged_bases_alone_is_void():
    rows = [run("base", 60.0, status="unconverged"), run("selffer_finetuned", 61.0)]
    found = by_pairing(rows, "BnB+ - base")["paired"]
    assert math.isnan(found.gain)
    assert found.warning == "void: base of B is unconverged"


def test_networks_over_unconverged_bases_are_told_where_nothing_is_paired():
    arms = [run("selffer_finetuned", 61.0, n=n) for n in (2, 3)]
    found = by_pairing([run("base", 60.0, status="unconverged"), *arms], "BnB+ - base")["unpaired"]
    assert found.gain == 1.0
    assert found.warning == "3 of the 3 networks rest on a base that is unconverged"
