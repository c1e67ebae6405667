"""Every figure at a small size, on scikit-learn's digits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from dmt.cli import build, programs
from dmt.data import AttributeTask, ClassTask, ColorizeTask, Confident, Digits, Matched, Nearest, to_pixels
from dmt.editing.editor import Editor
from dmt.editing.lambda_rules import FixedLambda
from dmt.errors import UserError
from dmt.inversion.regularizers import TotalVariation
from dmt.judges.metrics import psnr
from dmt.manifolds import Places, SetFit
from dmt.reporting.progress import InversionBar
from dmt.reporting.results import Report, write_report
from dmt.studies.figures import Colorization, LambdaRows, NeighboursAlongThePath, RegularizationColumns, Tour
from dmt.studies.figures.figure import random_targets
from dmt.studies.figures.neighbours import affinities

CONF = Path(__file__).resolve().parents[3] / "conf"
THREE_TO_EIGHT = ClassTask("3", "8")
SMALL = ["experiment=digits", "progress=false", "data.set_size=80"]


@pytest.fixture(scope="module")
def editor(cache_dir, tmp_path_factory) -> Editor:
    return editor_of(cache_dir, tmp_path_factory.mktemp("figures"))


def editor_of(cache_dir: Path, folder: Path, *options: str) -> Editor:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        paths = [f"cache_dir={cache_dir}", f"output_dir={folder}/out"]
        cfg = compose("traverse", [*SMALL, *paths, *options])
    programs.begin(cfg)
    return replace(build.editor_of(cfg, InversionBar()), rule=FixedLambda(0.3))


def test_lambda_rows_begin_with_the_input_and_change_more_and_more(editor):
    report = LambdaRows([float("inf"), 1.0, 0.3])(editor, THREE_TO_EIGHT, 2)
    means = report.tables["lambdas"]
    assert [row["edit"] for row in means] == ["lambda' inf", "lambda' 1", "lambda' 0.3"]
    assert means[0]["change_center"] == 0
    assert means[1]["change_center"] < means[2]["change_center"]
    assert len(report.images) == 6
    for image in report.images[:2]:
        torch.testing.assert_close(image.result, image.input)


def test_lambda_rows_show_the_people_of_the_task_unless_others_are_asked_for(editor):
    figure = LambdaRows([1.0], {"3 to 8": ["digit_0003"]})
    assert [image.name for image in figure(editor, THREE_TO_EIGHT, 5).images] == ["digit_0003"]
    assert [image.name for image in figure(editor, THREE_TO_EIGHT, ["digit_0013"]).images] == ["digit_0013"]


def test_lambda_rows_refuse_what_is_no_lambda(editor):
    with pytest.raises(UserError, match="lambda must be a number above 0"):
        LambdaRows([0.0])(editor, THREE_TO_EIGHT, 1)


def test_lambda_rows_need_some_lambda(editor):
    with pytest.raises(UserError, match=r"figure\.lambdas is empty"):
        LambdaRows([])(editor, THREE_TO_EIGHT, 1)


def test_regularization_columns_say_what_each_term_costs(editor):
    choices = {"none": {}, "tv": {"tv": TotalVariation(5.0, of="image")}}
    report = RegularizationColumns(choices)(editor, THREE_TO_EIGHT, 2)
    terms = report.tables["objective_terms"]
    assert [row["edit"] for row in terms] == ["none", "none", "tv", "tv"]
    for row in terms:
        parts = [value for key, value in row.items() if key.startswith("objective_")]
        assert sum(parts) == pytest.approx(row["objective"], rel=1e-4)
    assert "objective_tv" not in terms[0]
    without, with_tv = ([image.result for image in report.images if image.record["edit"] == name] for name in choices)
    variation = TotalVariation(1.0, of="image")
    for rough, smooth in zip(without, with_tv, strict=True):
        assert roughness(smooth) < roughness(rough)
    assert variation.weight == 1.0


def roughness(image: torch.Tensor) -> float:
    return float(image.diff(dim=1).square().sum() + image.diff(dim=2).square().sum())


def test_a_tour_edits_the_same_people_for_every_task(editor):
    tasks = {"eight": THREE_TO_EIGHT, "five": ClassTask("3", "5")}
    report = Tour(tasks)(editor, THREE_TO_EIGHT, 2)
    eights, fives = ([image for image in report.images if image.record["edit"] == name] for name in tasks)
    assert [image.name for image in eights] == [image.name for image in fives]
    assert not np.array_equal(to_pixels(eights[0].result), to_pixels(fives[0].result))
    assert set(report.pictures) == {"figure", "map"}
    assert np.asarray(report.pictures["map"]).std() > 10
    assert [(row["edit"], row["image"]) for row in report.tables["map"]] == [
        (name, image.name) for name in tasks for image in eights
    ]


@pytest.mark.parametrize("manifold", ["pca", "span"])
def test_a_map_says_how_far_walks_and_finished_pictures_have_come_from_source_to_target(editor, manifold):
    """Across is a scalar product with the difference of the means, here taken of features themselves."""
    varied = editor if manifold == "pca" else replace(editor, space=SetFit(editor.space.features))
    report = Tour({"eight": THREE_TO_EIGHT})(varied, THREE_TO_EIGHT, 3)
    edit = varied.edit(THREE_TO_EIGHT, 3)

    def features(pictures: list[torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            return edit.space.extractor.vectors(torch.stack(pictures)).double()

    catalog = Digits()
    source, target = (
        features([catalog.read(int(i), 32) for i in side]).mean(dim=0) for side in (edit.data.source, edit.data.target)
    )
    across = (target - source) / (target - source).square().sum()
    for end, pictures in (("input", [i.input for i in edit.images]), ("picture", [i.result for i in edit.images])):
        expected = (features(pictures) - source) @ across
        found = torch.tensor([row[f"across_{end}"] for row in report.tables["map"]]).double()
        torch.testing.assert_close(found, expected, rtol=0, atol=0.02 if manifold == "span" else 0.1)
    assert all(row["across_walk"] > row["across_input"] for row in report.tables["map"])


def test_rows_of_lambda_end_with_pictures_of_the_target(editor):
    edit = editor.edit(THREE_TO_EIGHT, 2)
    shown = random_targets(edit, 5, seed=1)
    eights = {Digits().read(int(i), 32).numpy().tobytes() for i in edit.data.target}
    assert len({picture.numpy().tobytes() for picture in shown} & eights) == 5
    assert len(random_targets(edit, 10_000)) == len(edit.data.target)
    figure = LambdaRows([1.0])(editor, THREE_TO_EIGHT, 2).pictures["figure"]
    assert figure.height > 2 * 96


def test_neighbours_are_counted_in_the_span_of_the_sets_too(editor):
    """Pictures outside the sets are placed in it; the finished pictures' own points are what is shown."""
    spanned = replace(editor, space=SetFit(editor.space.features))
    figure = NeighboursAlongThePath([1.0, 0.3], each=10, k=5, crowd=40)
    report = figure(spanned, THREE_TO_EIGHT, 2)
    edit = spanned.edit(THREE_TO_EIGHT, 2, 0.3)
    for used in (True, False):
        crowd = figure._crowd(edit, used)
        assert crowd.of_target.sum() == len(crowd.points) / 2 == 40
        nearest = NearestNeighbors(n_neighbors=5).fit(crowd.points).kneighbors(edit.arrived.numpy())[1]
        column = "target_share_used" if used else "target_share_others"
        last = report.tables["neighbours"][-1]
        assert last[column] == pytest.approx(crowd.of_target[nearest].mean())


def test_neighbours_are_counted_as_scikit_learn_counts_them(editor):
    figure = NeighboursAlongThePath([1.0, 0.3], each=10, k=5, crowd=40)
    report = figure(editor, THREE_TO_EIGHT, 3)
    assert [row["point"] for row in report.tables["neighbours"]] == ["input", "lambda' 1", "lambda' 0.3"]
    edit = editor.edit(THREE_TO_EIGHT, 3, 0.3)
    crowd = figure._crowd(edit, used=False)
    members = set(edit.data.source.tolist()) | set(edit.data.target.tolist())
    codes = edit.space.target.double()
    scores = Digits().digits
    rows = [int((codes - torch.from_numpy(point)).square().sum(1).argmin()) for point in crowd.points]
    assert not members & set(rows)
    assert [scores[row] == 8 for row in rows] == crowd.of_target.tolist()
    last = report.tables["neighbours"][-1]
    for column, ends in (("target_share_others", edit.arrived), ("target_share_others_of_walk", edit.z)):
        nearest = NearestNeighbors(n_neighbors=5).fit(crowd.points).kneighbors(ends.numpy())[1]
        assert last[column] == pytest.approx(crowd.of_target[nearest].mean())


BY_OTHER_LABELS = AttributeTask("8", source="3", selection=Matched(20, same=[]))
ONE_MAP = [
    lambda task: Tour({"other": THREE_TO_EIGHT, "this": task}),
    lambda task: NeighboursAlongThePath([1.0], each=10, k=5, crowd=40),
]


@pytest.mark.parametrize("figure", ONE_MAP)
@pytest.mark.parametrize(("own", "task"), [(Nearest(20), THREE_TO_EIGHT), (None, BY_OTHER_LABELS)])
def test_a_map_of_two_sets_refuses_sets_of_each_inputs_own_whoever_chooses_them(editor, figure, own, task):
    varied = replace(editor, comparison=replace(editor.comparison, selection=own))
    with pytest.raises(UserError, match="selection=confident"):
        figure(task)(varied, task, 1)


@pytest.mark.parametrize("figure", ONE_MAP)
def test_a_map_of_two_sets_is_drawn_where_the_comparisons_own_choice_wins_over_the_tasks(editor, figure):
    varied = replace(editor, comparison=replace(editor.comparison, selection=Confident()))
    assert len(figure(BY_OTHER_LABELS)(varied, BY_OTHER_LABELS, 1).images) in (1, 2)


@pytest.mark.parametrize("figure", ONE_MAP)
def test_a_map_refuses_pictures_that_are_many_points(editor, figure):
    local = replace(editor, space=SetFit(editor.space.features, Places()))
    with pytest.raises(UserError, match="manifold=span, pca or exact"):
        figure(THREE_TO_EIGHT)(local, THREE_TO_EIGHT, 1)


def test_affinities_have_the_perplexity_asked_for_and_fall_with_distance():
    points = np.random.default_rng(0).normal(size=(60, 5))
    weights = affinities(points[0] + 0.1, points, perplexity=8.0)
    assert weights.sum() == pytest.approx(1)
    assert np.exp(-(weights * np.log(weights)).sum()) == pytest.approx(8.0)
    by_distance = np.argsort(np.linalg.norm(points - points[0] - 0.1, axis=1))
    assert (np.diff(weights[by_distance]) <= 0).all()


def test_the_neighbours_of_a_digit_become_eights(editor):
    report = NeighboursAlongThePath([1.0, 0.3, 0.15], each=10, k=10, crowd=40)(editor, THREE_TO_EIGHT, 6)
    first, *_, last = report.tables["neighbours"]
    assert last["target_share_others"] > first["target_share_others"] + 0.3
    assert sum(row["others_rises"] for row in report.tables["per_image"]) >= 5


@pytest.mark.parametrize("options", [{"k": 0}, {"k": 81}, {"k": 2.5}, {"each": 60}])
def test_neighbours_refuse_more_than_there_are(editor, options):
    with pytest.raises(UserError):
        NeighboursAlongThePath(**({"each": 10, "k": 5, "crowd": 40} | options))(editor, THREE_TO_EIGHT, 1)


def test_colorization_needs_a_task_that_makes_its_inputs(editor):
    with pytest.raises(UserError, match="task=colorize"):
        Colorization()(editor, THREE_TO_EIGHT, 1)


def test_colorization_compares_with_the_true_colours(cache_dir, tmp_path):
    rng = np.random.default_rng(0)
    for i in range(60):  # reddish pictures, so that the colour is to be learnt
        grey = np.kron(rng.uniform(100, 160, (4, 4, 1)), np.ones((8, 8, 1)))
        save_array(tmp_path / f"pictures/all/{i:02d}.png", np.clip(grey * [1.2, 0.7, 0.6], 0, 255))
    seeing_colour = ["backbone=vgg19_random", "layers=conv3", "manifold=span", "regularizer=none"]
    reddish = ["data=folder", f"data.catalog.root={tmp_path}/pictures", "data.image_size=32", "data.set_size=25"]
    editor = editor_of(cache_dir, tmp_path, *reddish, *seeing_colour)
    task = ColorizeTask(source_size=20, target_size=25, spare=5)
    report = Colorization(samples=20)(replace(editor, rule=FixedLambda(0.05)), task, 3)
    rows = {row["answer"]: row for row in report.tables["colours"]}
    assert list(rows) == ["grey input", "result", "true colours", "mean colour", "mean picture"]
    assert rows["true colours"]["chroma_error"] == 0
    assert rows["grey input"]["chroma_share_center"] == pytest.approx(0, abs=1e-3)
    assert rows["result"]["chroma_error"] < 0.8 * rows["grey input"]["chroma_error"]
    for image in report.images:
        truth = editor.data(None).catalog.read_named(image.name, 32)
        assert image.record["true_psnr"] == pytest.approx(psnr(image.result, truth))
        channels = to_pixels(image.input).astype(int)
        assert np.ptp(channels, axis=2).max() == 0


def save_array(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def test_a_report_keeps_every_picture_under_its_own_name(editor, tmp_path):
    report = LambdaRows([float("inf"), 0.3])(editor, THREE_TO_EIGHT, ["digit_0003"])
    write_report(tmp_path, report, {})
    names = {path.name for path in tmp_path.iterdir()}
    assert {"digit_0003_lambda_inf.png", "digit_0003_lambda_0.3.png", "figure.png", "lambdas.csv"} <= names
    assert (tmp_path / "inputs/digit_0003.png").exists()
    assert isinstance(report, Report)
