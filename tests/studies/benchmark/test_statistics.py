import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from dmt.studies.benchmark.curves import Curve, curves_of
from dmt.studies.benchmark.statistics import interval
from dmt.studies.benchmark.tables import curve_table, differences, headline

NAN = math.nan


def record(image, lam, flipped, method="dmt", case="a to b", **more):
    return {"case": case, "method": method, "lambda": lam, "image": image, "flipped": flipped, **more}


def curve(lambdas, flips, method="dmt", failed=None, **measures):
    flips = np.asarray(flips, dtype=bool)
    failed = np.zeros_like(flips) if failed is None else np.asarray(failed, dtype=bool)
    names = tuple(f"i{j}" for j in range(flips.shape[1]))
    arrays = {name: np.asarray(values, dtype=float) for name, values in measures.items()}
    lambdas = np.asarray(lambdas, dtype=float)
    return Curve("a to b", method, images=names, lambdas=lambdas, flips=flips, failed=failed, measures=arrays)


def at_equal_flips(of, rate, resamples=2000):
    """The row of a single curve."""
    (row,) = headline([of], [rate], resamples)
    return row


def staircase(counts, n):
    """At point l the first ``counts[l]`` of n images are flipped."""
    return np.arange(n) < np.asarray(counts)[:, None]


def constant(values, n):
    """Every image has the same value at a point."""
    return np.repeat(np.asarray(values, dtype=float)[:, None], n, axis=1)


# Records to curves


def test_records_in_any_order_become_points_of_growing_strength_with_images_aligned():
    rows = [
        record("x", 0.1, 1, identity=0.5),
        record("y", math.inf, False, identity=0.98),
        record("y", 0.1, 0, identity=0.6),
        record("y", 0.3, 0, identity=0.8),
        record("x", math.inf, False, identity=0.99),
        record("x", 0.3, True, identity=0.7),
    ]
    (found,) = curves_of(rows)
    assert found.lambdas.tolist() == [math.inf, 0.3, 0.1]
    assert found.images == ("x", "y")
    np.testing.assert_array_equal(found.flips, [[False, False], [True, False], [True, False]])
    np.testing.assert_array_equal(found.measures["identity"], [[0.99, 0.98], [0.7, 0.8], [0.5, 0.6]])
    assert found.path.tolist() == [1, 2]


def test_a_failed_image_is_not_flipped_and_its_numbers_do_not_count():
    rows = [record("x", 0.1, 1, identity=0.5), record("y", 0.1, 1, failed=True, identity=9.0)]
    (found,) = curves_of(rows)
    (row,) = curve_table([found], resamples=10)
    assert (row["n"], row["failed"], row["flips"], row["identity"]) == (2, 1, 0.5, 0.5)


def test_an_image_that_another_method_has_is_failed_where_it_is_missing():
    rows = [record("x", 0.1, 1), record("y", 0.1, 1), record("y", NAN, 1, method="adversarial")]
    ours, other = curves_of(rows)
    assert ours.images == other.images == ("x", "y")
    assert other.failed.tolist() == [[True, False]]
    assert other.rates.tolist() == [0.5]
    assert np.isnan(other.lambdas).all()


def test_words_are_no_measure_and_infinity_has_no_mean():
    rows = [record("x", 0.1, 1, stopped="budget", psnr=math.inf), record("y", 0.1, 1, stopped="", psnr=30.0)]
    (found,) = curves_of(rows)
    assert list(found.measures) == ["psnr"]
    assert curve_table([found], resamples=10)[0]["psnr"] == 30.0


def test_two_records_of_one_edit_are_refused():
    with pytest.raises(ValueError, match="two records of 'x'"):
        curves_of([record("x", 0.1, 1), record("x", 0.1, 0)])


def test_a_method_with_and_without_lambda_is_refused():
    with pytest.raises(ValueError, match="with and without lambda"):
        curves_of([record("x", 0.1, 1), record("x", NAN, 0)])


# Intervals


def test_the_interval_of_a_mean_is_scipys():
    rng = np.random.default_rng(1)
    values = rng.gamma(2.0, size=50)
    rows = [record(f"i{j}", 0.1, int(j < 20), seconds=float(value)) for j, value in enumerate(values)]
    (row,) = curve_table(curves_of(rows), resamples=20000)
    for name, sample in (("seconds", values), ("flips", (np.arange(50) < 20).astype(float))):
        theirs = scipy.stats.bootstrap(
            (sample,), np.mean, n_resamples=20000, method="percentile", random_state=np.random.default_rng(2)
        ).confidence_interval
        # a 2.5 % quantile of 20,000 normal draws errs by 0.019 standard deviations, two of them by sqrt(2) as much
        tolerance = 6 * 0.019 * np.sqrt(2) * sample.std() / np.sqrt(50)
        assert row[name] == pytest.approx(sample.mean())
        assert row[f"{name}_low"] == pytest.approx(theirs.low, abs=tolerance)
        assert row[f"{name}_high"] == pytest.approx(theirs.high, abs=tolerance)


def test_percentiles_are_numpys_without_the_missing():
    samples = np.random.default_rng(0).normal(size=(400, 3))
    samples[:30, 1] = NAN
    samples[:41, 2] = NAN
    low, high = interval(samples)
    np.testing.assert_allclose(low[:2], np.nanquantile(samples[:, :2], 0.025, axis=0), rtol=1e-12)
    np.testing.assert_allclose(high[:2], np.nanquantile(samples[:, :2], 0.975, axis=0), rtol=1e-12)
    assert np.isnan([low[2], high[2]]).all(), "fewer than 90 % have a value"


def test_one_image_has_no_interval():
    (row,) = curve_table(curves_of([record("x", 0.1, 1, identity=0.5)]))
    assert (row["flips"], row["identity"]) == (1.0, 0.5)
    assert np.isnan([row["flips_low"], row["identity_low"], row["identity_high"]]).all()
    assert at_equal_flips(curves_of([record("x", 0.1, 1, identity=0.5)])[0], 1.0)["identity"] == 0.5


def test_a_measure_of_a_single_image_among_many_has_no_interval():
    known = np.full((1, 40), NAN)
    known[0, 0] = 0.5
    (row,) = curve_table([curve([0.1], np.ones((1, 40)), identity=known)])
    assert row["identity"] == 0.5
    assert np.isnan(row["identity_low"])


# At equal flips


def test_a_straight_line_is_crossed_where_algebra_says():
    """Identity 1 - 0.5 flips and log lambda linear in flips: at 50 % between 40 % and 80 %, a quarter of the way."""
    line = curve([0.4, 0.2, 0.1], staircase([0, 4, 8], 10), identity=constant([1.0, 0.8, 0.6], 10))
    found = at_equal_flips(line, 0.5, resamples=500)
    assert found["reached"]
    assert found["identity"] == pytest.approx(1 - 0.5 * 0.4 - 0.25 * 0.2)
    assert found["lambda"] == pytest.approx(0.2 * 0.5**0.25)


def test_the_floor_is_no_part_of_the_way():
    floor = curve([math.inf, 0.2, 0.1], staircase([0, 6, 9], 10), identity=constant([1.0, 0.8, 0.6], 10))
    found = at_equal_flips(floor, 0.5)
    assert not found["reached"]
    assert found["note"] == "starts at 0.60"
    assert "identity" not in found


def test_the_floor_alone_crosses_nothing():
    found = at_equal_flips(curve([math.inf], staircase([6], 10), identity=constant([1.0], 10)), 0.5)
    assert not found["reached"]
    assert found["note"] == "has the reconstruction floor alone"
    assert found["share"] == 0
    assert math.isnan(found["lambda"])


def test_the_first_of_several_crossings_counts_and_ties_do_no_harm():
    """Rates .2 .2 .6 .4 .8: 50 % is first crossed three quarters of the way from the second to the third point."""
    wavy = curve(
        [0.5, 0.4, 0.3, 0.2, 0.1], staircase([2, 2, 6, 4, 8], 10), identity=constant([0.9, 0.8, 0.4, 0.3, 0.1], 10)
    )
    assert at_equal_flips(wavy, 0.5)["identity"] == pytest.approx(0.8 - 0.75 * 0.4)
    assert at_equal_flips(wavy, 0.2)["identity"] == pytest.approx(0.9)
    assert at_equal_flips(wavy, 0.8)["identity"] == pytest.approx(0.1)


def test_a_rate_that_is_never_reached_says_how_far_it_went():
    low = curve([0.3, 0.2, 0.1], staircase([1, 63, 40], 100), identity=np.ones((3, 100)))
    found = at_equal_flips(low, 0.8)
    assert not found["reached"]
    assert found["note"] == "reaches 0.63"
    assert found["share"] == 0
    assert math.isnan(found["lambda"])


def test_no_interval_where_fewer_than_nine_tenths_of_the_resamples_reach_the_rate():
    """The count of flips in a resample is binomial: B(40, .8) >= 32 in six of ten draws, B(40, .95) in nearly all."""
    close = curve([0.2, 0.1], staircase([0, 32], 40), identity=constant([1.0, 0.5], 40))
    sure = curve([0.2, 0.1], staircase([0, 38], 40), identity=constant([1.0, 0.5], 40))
    found = at_equal_flips(close, 0.8)
    assert found["reached"]
    assert found["share"] == pytest.approx(scipy.stats.binom.sf(31, 40, 0.8), abs=0.05)
    assert math.isnan(found["identity_low"])
    assert math.isfinite(at_equal_flips(sure, 0.8)["identity_low"])


def test_the_interval_at_a_crossing_is_that_of_recomputing_it_image_by_image():
    rng = np.random.default_rng(3)
    n = 30
    flips = np.sort(rng.random(n)) < np.array([[0.2], [0.5], [0.9]])
    identity = np.array([[0.9], [0.7], [0.4]]) + 0.1 * rng.normal(size=(3, n))
    crossings = []
    for _ in range(3000):
        drawn = rng.integers(n, size=n)
        rates, means = flips[:, drawn].mean(axis=1), identity[:, drawn].mean(axis=1)
        if rates[0] < 0.6 <= rates[-1]:  # the rates rise, so there is one crossing
            crossings.append(np.interp(0.6, rates, means))
    found = at_equal_flips(curve([0.3, 0.2, 0.1], flips, identity=identity), 0.6, resamples=3000)
    low, high = np.quantile(crossings, [0.025, 0.975])
    assert found["share"] == pytest.approx(len(crossings) / 3000, abs=0.01)
    assert found["identity_low"] == pytest.approx(low, abs=0.15 * (high - low))
    assert found["identity_high"] == pytest.approx(high, abs=0.15 * (high - low))


def test_failures_are_told_at_a_crossing():
    failed = np.zeros((3, 10), dtype=bool)
    failed[0, :5] = failed[1, :2] = failed[2, :1] = True
    flips = staircase([1, 4, 8], 10)[:, ::-1]
    found = at_equal_flips(curve([0.3, 0.2, 0.1], flips, failed=failed, identity=np.ones((3, 10))), 0.5)
    assert found["failed"] == 2


def test_a_measure_that_was_not_taken_is_no_number():
    holes = curve([0.2, 0.1], staircase([0, 8], 10), identity=[[NAN] * 10, [0.5] * 10], ssim=np.ones((2, 10)))
    found = at_equal_flips(holes, 0.5)
    assert math.isnan(found["identity"])
    assert found["ssim"] == 1
    assert at_equal_flips(holes, 0.8)["identity"] == 0.5, "the point itself needs no neighbour"


# Differences


@pytest.fixture
def noisy():
    rng = np.random.default_rng(0)
    flips = rng.permutation(40)[None] < np.array([[4], [20], [36]])
    noise = 0.05 * rng.normal(size=(3, 40))
    return curve([0.3, 0.2, 0.1], flips, identity=0.7 + noise, age_shift=3 + 10 * noise, delta=noise)


def by_measure(curves, **options):
    return {found["measure"]: found for found in differences(curves, **options)}


def test_a_method_does_not_differ_from_itself(noisy):
    for found in differences([noisy, replace(noisy, method="twin")]):
        assert (found["difference"], found["difference_low"], found["difference_high"]) == (0, 0, 0)
        assert found["verdict"] == ("" if found["measure"] == "delta" else "not resolved")


def test_a_paired_difference_is_sure_where_two_intervals_overlap(noisy):
    """The same images with 0.01 less identity: the difference is exactly that in every resample."""
    worse = replace(noisy, method="worse", measures={"identity": noisy.measures["identity"] - 0.01})
    found = by_measure([noisy, worse], rates=[0.5])["identity"]
    assert found["difference"] == pytest.approx(0.01)
    assert found["difference_low"] == pytest.approx(0.01)
    assert found["verdict"] == "ahead"
    turned = by_measure([noisy, worse], rates=[0.5], reference="worse")["identity"]
    assert (turned["verdict"], turned["other"]) == ("behind", "dmt")
    ours, theirs = (at_equal_flips(one, 0.5) for one in (noisy, worse))
    assert ours["identity_low"] < theirs["identity_high"]


def test_a_shift_of_age_is_compared_by_its_distance_from_zero(noisy):
    """Three years older is better than five years younger, by two years."""
    younger = replace(noisy, method="younger", measures={"age_shift": noisy.measures["age_shift"] - 8})
    found = by_measure([noisy, younger], rates=[0.5])["age_shift"]
    ours = at_equal_flips(noisy, 0.5)["age_shift"]
    assert found["difference"] == pytest.approx(ours - (8 - ours))
    assert found["verdict"] == "ahead"


def test_what_never_gets_there_is_not_compared(noisy):
    weak = replace(noisy, method="weak", flips=noisy.flips & (np.arange(40) < 10))
    found = by_measure([noisy, weak], rates=[0.8])["identity"]
    assert found["verdict"] == "not comparable"
    assert found["note"] == f"weak reaches {weak.rates.max():.2f}"
    assert math.isnan(found["difference"])
