import inspect
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.strategies import DDPStrategy

from dmt.cli.arguments import with_several_tasks
from dmt.cli.build import DataOf, method_of
from dmt.editing.comparison import Contrasts
from dmt.errors import UserError
from dmt.inversion import Inverter
from dmt.judges.perceptual import LAYERS
from dmt.manifolds import IncrementalPCA, Space
from dmt.networks import digits_network, vgg19
from dmt.networks.extractor import FeatureExtractor
from dmt.reporting.run_label import RunLabel
from dmt.studies.transfer import HalvesByKind
from dmt.studies.transfer.treatments import Cell
from dmt.traversal.witness import WitnessBatch
from tests.documents import COMMANDS

CONF = Path(__file__).resolve().parents[1] / "conf"
PROGRAMS = ("train", "traverse")
GROUPS = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name != "experiment")
OPTIONS = [f"{group}={file.stem}" for group in GROUPS for file in sorted((CONF / group).glob("*.yaml"))]
EXPERIMENTS = sorted(file.stem for file in (CONF / "experiment").glob("*.yaml"))
FILES = sorted(CONF.rglob("*.yaml"))

# What a user must fill in, by the option that leaves it open
OPEN = {
    "backbone=module": ["backbone.builder=nets:build"],
    "backbone=timm": ["backbone.name=resnet18"],
    "backbone=torchvision": ["backbone.name=resnet18"],
    "data=folder": ["data.catalog.root=/nonexistent"],
    "data=pictures": ["images=/nonexistent"],
    "data=table": ["data.path=/nonexistent", "data.label=y"],
    "task=attribute": ["task.attribute=Smiling"],
    "task=explain": ["task.classifier=nets:build", "images=/nonexistent"],
    "task=folder": ["task.source=cat", "task.target=dog"],
    "task=person": ["person=George W Bush"],
    "task=table": ["task.target=no"],
}
# What the program hands over when it builds an object, so that no file needs to say it
HANDED_OVER = {"task", "images", "save_dir", "space", "contrasts", "lams", "inverter", "classes", "image_size", "label"}


@pytest.fixture(autouse=True)
def hydra(tmp_path):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def composed(program: str, *overrides: str) -> DictConfig:
    """The whole configuration, every interpolation resolved."""
    cfg = compose(program, [*overrides, "output_dir=."])
    OmegaConf.resolve(cfg)
    return cfg


@cache
def plain(program: str) -> DictConfig:
    return composed(program)


def targets(node: object) -> Iterator[dict]:
    """Every object that a file describes."""
    if isinstance(node, dict) and "_target_" in node:
        yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    for child in children:
        yield from targets(child)


def test_there_is_something_to_test():
    assert {"data", "backbone", "manifold", "kernel", "regularizer", "task", "logger"} <= set(GROUPS)
    assert {"method", "selection", "auto", "judges"} <= set(GROUPS)
    assert len(OPTIONS) > 20
    assert "digits" in EXPERIMENTS


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_experiment_composes(program, experiment):
    cfg = composed(program, f"experiment={experiment}")
    assert cfg != plain(program), "the experiment changes nothing"
    assert set(cfg) == set(plain(program)), "the experiment adds a key that no program reads"


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes(option):
    cfg = composed("traverse", option, *OPEN.get(option, []))
    assert set(cfg) == set(plain("traverse")), "the option adds a key that no program reads"


def first_of_each_sweep(options: str) -> list[str]:
    """The overrides of a command line: of those that a sweep goes through, the first."""
    words = [word for word in shlex.split(options, comments=True) if "=" in word and not word.startswith("-")]
    overrides = OverridesParser.create().parse_overrides([word for word in words if not word.startswith("hydra")])
    return [
        f"{one.input_line.partition('=')[0]}={next(one.sweep_string_iterator())}"
        if one.is_sweep_override()
        else one.input_line
        for one in overrides
    ]


@pytest.mark.parametrize(("program", "options"), COMMANDS)
def test_every_command_of_the_documents_composes(program, options):
    overrides = with_several_tasks(first_of_each_sweep(options))
    names = {override.partition("=")[0] for override in overrides}
    cfg = compose(program, [*overrides, *([] if "output_dir" in names else ["output_dir=."])])
    OmegaConf.resolve(cfg)


def test_commands_are_found_in_the_documents():
    assert len(COMMANDS) > 30
    assert first_of_each_sweep("-m task=frowning,senior lambda=0.3 'images=[a,b]' hydra/launcher=joblib # two") == [
        "task=frowning", "lambda=0.3", "images=[a,b]"
    ]  # fmt: skip


def test_both_programs_take_the_same_options():
    assert composed("train", "manifold=span") == plain("traverse")
    assert composed("traverse", "manifold=pca") == plain("train")


def test_an_edit_moves_in_the_span_of_its_sets_and_a_fit_is_of_everything():
    assert plain("traverse").manifold._target_ == "dmt.manifolds.Span"
    for choice in ("experiment=digits", "manifold=pca"):
        assert composed("traverse", choice).manifold._target_ == "dmt.manifolds.IncrementalPCA"
    assert plain("train").manifold._target_ == "dmt.manifolds.IncrementalPCA"


def test_faces_are_framed_unless_the_data_or_the_user_say_otherwise():
    assert plain("traverse").data.framing == plain("traverse").framing
    assert plain("traverse").framing._target_ == "dmt.data.FaceFraming"
    folder = [*OPEN["data=folder"], "data=folder"]
    assert composed("traverse", *folder).data.framing._target_ == "dmt.data.CentreFraming"
    assert composed("traverse", *folder, "framing=faces").data.framing == plain("traverse").framing
    assert composed("traverse", "experiment=fig5_colorize").data.framing._target_ == "dmt.data.CentreFraming"
    framing = instantiate(composed("traverse", "faces=all", "framing.zoom=2", "weights_dir=/w").framing)
    assert (framing.faces, framing.zoom, framing.detector.weights_dir) == ("all", 2, "/w")


def test_what_is_realised_is_built_with_the_values_given():
    values = {"tolerance": 0.1, "stiffness": 20.0, "multiplier": 1.5, "rounds": 2}
    built = instantiate(composed("traverse", *(f"realise.{name}={value}" for name, value in values.items())).realise)
    assert {name: getattr(built, name) for name in values} == values
    assert instantiate(composed("traverse", "realise=null").realise) is None


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(CONF).as_posix())
def test_every_key_is_an_argument_of_what_it_configures(file):
    is_experiment = file.parent.name == "experiment"  # which may take keys from other files
    content = composed("traverse", f"experiment={file.stem}") if is_experiment else OmegaConf.load(file)
    for node in targets(OmegaConf.to_container(content)):
        signature = inspect.signature(get_object(node["_target_"]))
        keys = {key for key in node if not key.startswith("_")} - {"defaults"}
        assert keys <= set(signature.parameters)
        required = {
            name
            for name, parameter in signature.parameters.items()
            if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        }
        assert required - HANDED_OVER <= keys


PLAIN = (
    "kernel=",
    "task=",
    "selection=",
    "auto=",
    "parametrization=",
)  # what keeps every value under the name it was given by


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.startswith(PLAIN)])
def test_plain_objects_are_built_with_the_values_given(option):
    cfg = composed("traverse", option, *OPEN.get(option, []))[option.split("=")[0]]
    if not cfg or option in ("task=explain", "task=several"):
        return  # selection=by_task: nothing is built; the others have tests of their own
    values = {key: value for key, value in cfg.items() if key not in ("_target_", "selection")}
    built = instantiate(cfg)
    assert {key: getattr(built, key) for key in values} == values


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.startswith("manifold=")])
def test_manifolds_are_built_with_the_values_given(option):
    own = {"span": ("z_score", True), "local": ("channels", 7), "columns": ("scaling", "quantile")}
    key, value = own.get(option.partition("=")[2], ("n_components", 7))
    cfg = composed("traverse", option, f"manifold.{key}={value}").manifold
    assert getattr(instantiate(cfg), key) == value


def test_an_explanation_is_built_with_the_values_given(monkeypatch):
    monkeypatch.setattr("dmt.judges.classifier.built_network", lambda where, weights: torch.nn.Identity())
    given = {"classes": ["cat", "dog"], "names": ["dog", "cat"], "number": None}
    options = [f"task.{name}={value}".replace("'", "").replace(" ", "") for name, value in given.items() if value]
    cfg = composed("traverse", "task=explain", *OPEN["task=explain"], *options, "task.preprocessing.size=30").task
    explained = instantiate(cfg, _convert_="all")
    assert {name: getattr(explained, name) for name in given} == given
    assert (explained.classifier.title, explained.classifier.size) == ("nets:build", 30)
    search = {key: value for key, value in cfg.search.items() if key != "_target_"}
    assert {key: getattr(explained.search, key) for key in search} == search
    assert explained.search.judge == "classifier"


def test_every_method_is_built_with_the_values_given():
    space = Space(FeatureExtractor(digits_network(2), ["conv3"]), IncrementalPCA(2), torch.zeros(0), torch.zeros(0))
    contrasts = Contrasts([], WitnessBatch([], torch.zeros(0, dtype=torch.long)), lambda sets: pytest.fail("not yet"))

    def built(option, *overrides):
        make = method_of(composed("traverse", f"method={option}", *overrides))
        module = make(space, contrasts, torch.zeros(0), Inverter())
        assert module.space is space
        return module

    assert {option.split("=")[1] for option in OPTIONS if option.startswith("method=")} == {
        "dmt",
        "linear",
        "pixel_mean",
        "adversarial",
    }
    descent = built("dmt", "solver.traversal.iterations=7", "target_features=projected")
    assert (descent.walk.solver.iterations, descent.target_features) == (7, "projected")
    interpolation = built("linear", "method.walk.alpha=1.5")
    assert (interpolation.walk.alpha, interpolation.target_features) == (1.5, "residual")
    assert built("linear").walk.alpha is None
    assert built("pixel_mean", "method.alpha=1.5").walk.alpha == 1.5
    assert built("pixel_mean").walk.alpha is None
    adversary = built("adversarial", "method.confidence=0.75", "method.damping=0.7", "method.steps=3")
    assert torch.tensor(adversary.margin).sigmoid() == pytest.approx(0.75)
    assert (adversary.damping, adversary.steps) == (0.7, 3)


PROBES = ["probe", "attributes"]


@pytest.mark.parametrize("option", ["judges=[]", "judges=faces"])
def test_judges_are_built_with_the_values_given(option, monkeypatch):
    monkeypatch.setattr("dmt.judges.OnnxJudge", SimpleNamespace)  # no network is read
    cfg = OmegaConf.to_container(composed("traverse", option, "weights_dir=/nonexistent").judges)
    built = instantiate(cfg, _convert_="all")
    assert set(built) == set(cfg)
    for name, judge in built.items():
        network = cfg[name].pop("network")
        assert {**vars(judge.network), "_target_": "dmt.judges.OnnxJudge"} == network
        assert network["path"].startswith("/nonexistent/")
        assert {key: getattr(judge, key) for key in cfg[name] if key != "_target_"} == {
            key: value for key, value in cfg[name].items() if key != "_target_"
        }


@pytest.mark.parametrize("judge", PROBES)
def test_probes_are_built_with_the_values_given(judge, monkeypatch):
    for name in ("PooledFeatures", "ReservedPictures", "ProbeJudge", "AttributesJudge"):
        monkeypatch.setattr(f"dmt.judges.{name}", SimpleNamespace)  # nothing is read or learnt
    monkeypatch.setattr("dmt.data.LFW", SimpleNamespace)
    monkeypatch.setattr("dmt.networks.torchvision_backbone", SimpleNamespace)
    given = [f"judges.{judge}.floor=0.7", f"judges.{judge}.pictures.features.grid=3", "data.reserved=0.4"]
    cfg = composed("traverse", f"judges={judge}", "task=senior", *given, "cache_dir=/c", "data.image_size=90").judges
    built = instantiate(cfg[judge], _convert_="all")
    assert built.floor == 0.7
    assert built.task.attribute == "Senior"
    assert (built.pictures.reserved, built.pictures.cache, built.pictures.image_size) == (0.4, "/c", 90)
    features = built.pictures.features
    assert (features.grid, features.backbone.name) == (3, "squeezenet1_1")
    assert set(features.layers) <= set(features.backbone.layers)


def test_several_files_of_judges_go_together_and_none_is_the_default():
    assert plain("traverse").judges == {}
    faces = list(composed("traverse", "judges=faces").judges)
    assert list(composed("traverse", "judges=[faces,probe,attributes]").judges) == [*faces, "probe", "attributes"]
    cfg = composed("traverse", "judges=probe", "backbone@judges.probe.pictures.features.backbone=vgg19")
    assert cfg.judges.probe.pictures.features.backbone._target_ == "dmt.networks.vgg19"
    assert cfg.backbone == plain("traverse").backbone


def test_cout_asks_the_judge_of_a_smile_for_its_absence(monkeypatch):
    monkeypatch.setattr("dmt.judges.OnnxJudge", SimpleNamespace)
    cfg = composed("traverse", "judges=[faces,cout]").judges
    assert cfg.cout.judge == {key: value for key, value in cfg.happy.items() if key != "shows"}
    judge = instantiate(cfg.cout, _convert_="all")
    assert (judge.beyond, judge.steps, judge.judge.column) == ("below", cfg.cout.steps, 1)


def test_the_perceptual_judge_reads_the_layers_of_squeezenet_and_one_more():
    cfg = composed("traverse", "judges=[faces,perceptual]").judges
    assert set(cfg) == {"happy", "age", "male", "identity", "lpips"}
    squeezenet = OmegaConf.load(CONF / "backbone/squeezenet1_1.yaml")
    assert cfg.lpips.network.layers == {**squeezenet.layers, "fire9": "features.12"}
    assert cfg.lpips.network.weights == squeezenet.weights
    judge = instantiate({**cfg.lpips, "network": {**cfg.lpips.network, "weights": None}}, _convert_="all")
    assert set(LAYERS) <= set(judge.network.layer_names)


def test_the_judges_of_faces_read_their_networks(weights_dir):
    pytest.importorskip("onnxruntime")
    judges = instantiate(composed("traverse", "judges=faces", f"weights_dir={weights_dir}").judges, _convert_="all")
    pictures = [torch.full((3, 125, 125), grey) for grey in (0.3, 0.6)]
    for name, judge in judges.items():
        columns = judge.columns(name, pictures, pictures)
        assert {values.shape for values in columns.values()} == {(2,)}
        assert set(columns) in ({name}, {f"{name}_before", f"{name}_after"})


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.startswith("regularizer=")])
def test_regularizers_are_built_with_the_values_given(option):
    cfg = composed("traverse", option).regularizer
    built = instantiate(cfg, _convert_="all")
    assert set(built) == set(cfg)
    for name, penalty in built.items():
        assert penalty.weight == cfg[name].weight
        assert list(penalty.layers) == list(cfg[name].get("layers", []))


def test_the_scores_of_layers_are_built_with_the_values_given_and_the_experiment_reports_them():
    values = {"layers": ["conv3"], "set_size": 7, "grid": 3, "folds": 4, "neighbours": 6, "margin": 0.05}
    given = [f"scores.{name}={value}" for name, value in values.items()]
    built = instantiate(composed("train", "task=senior", *given).scores, _convert_="all")
    assert {name: getattr(built, name) for name in values} == values
    assert built.task.attribute == "Senior"
    cfg = composed("train", "experiment=layer_scores", "backbone@study.other=digits", *given)
    assert cfg.study == {
        "_target_": "dmt.studies.layers.LayerStudy", "scores": cfg.scores,
        "other": composed("train", "backbone=digits").backbone,
        "traversal": False, "images": [], "n_images": 8, "judge": "happy", "beyond": "below",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["traversal", "inversion"])
def test_solvers_are_built_with_the_values_given(name):
    cfg = composed("traverse", f"solver.{name}.iterations=7").solver
    assert instantiate(cfg[name]).iterations == 7


def test_the_trainer_is_built():
    trainer = instantiate(composed("traverse", "trainer.accelerator=cpu").trainer)
    assert trainer.num_devices == 1
    assert trainer.logger is None


def test_ddp_has_a_process_for_each_device():
    options = ["trainer.strategy=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    trainer = instantiate(composed("traverse", *options).trainer)
    assert isinstance(trainer.strategy, DDPStrategy)
    assert trainer.num_devices == 2


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.startswith("logger=")])
def test_loggers_are_built(option, tmp_path):
    if option == "logger=tensorboard":
        pytest.importorskip("tensorboard")
    cfg = composed("traverse", option).logger
    if option == "logger=none":
        assert not cfg
        return
    logger = instantiate(cfg, save_dir=str(tmp_path), label=RunLabel("frowning", "traverse"))
    logger.log_metrics({"a": 1.0})
    logger.finalize("success")
    if option == "logger=wandb":
        logger.experiment.finish()
    assert [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("backbone", ["vgg19_random", "vgg19", "vgg19_distilled", "squeezenet1_1"])
def test_backbones_without_weights_have_the_layers_their_options_name(backbone):
    layers = {"squeezenet1_1": "squeezenet"}.get(backbone, "conv345")
    cfg = composed("traverse", f"backbone={backbone}")
    network = instantiate(cfg.backbone, weights=None)
    assert set(cfg.layer_names[layers]) <= set(network.layer_names)
    assert not network.training


@pytest.mark.parametrize("backbone", ["vgg19_distilled", "vgg19_hybrid", "squeezenet1_1"])
def test_backbones_are_built_with_their_weights(backbone, weights_dir):
    layers = {"squeezenet1_1": "squeezenet", "vgg19_hybrid": "conv3345"}.get(backbone, "conv345")
    cfg = composed("traverse", f"backbone={backbone}", f"weights_dir={weights_dir}")
    assert set(cfg.layer_names[layers]) <= set(instantiate(cfg.backbone).layer_names)


@pytest.fixture(scope="module")
def known_layers():
    squeezenet = OmegaConf.load(CONF / "backbone/squeezenet1_1.yaml")
    return [
        set(digits_network(2).layer_names),
        set(vgg19(None).layer_names),
        set(squeezenet.layers),
    ]


def test_every_choice_of_layers_is_known_to_some_backbone(known_layers):
    choices = plain("traverse").layer_names
    assert plain("traverse").layers in choices
    for layers in choices.values():
        assert any(set(layers) <= names for names in known_layers)


def test_the_hybrid_splits_its_layers_between_networks_that_have_them():
    cfg = composed("traverse", "backbone=vgg19_hybrid").backbone
    for network, names in zip(cfg.networks, cfg.layers, strict=True):
        assert set(names) <= set(instantiate(network, weights=None).layer_names)


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.startswith("net=")])
def test_every_network_of_a_study_is_built_and_takes_the_pictures_of_its_data(option):
    data = {"net=caffenet": "imagenet", "net=narrow64": "tiny_imagenet"}.get(option, "cifar10")
    cfg = composed("train", f"data={data}", option)
    network = instantiate(cfg.net.network)(classes=3, image_size=cfg.data.image_size).eval()
    assert network(torch.zeros(1, 3, cfg.data.image_size, cfg.data.image_size)).shape == (1, 3)
    assert len(network) == 8
    schedule = instantiate(cfg.net.schedule, _convert_="all")
    assert {key: getattr(schedule, key) for key in cfg.net.schedule if key != "_target_"} == {
        key: value for key, value in OmegaConf.to_container(cfg.net.schedule).items() if key != "_target_"
    }


@pytest.mark.parametrize(
    ("data", "net"),
    [("digits", "digits"), ("cifar10", "narrow32"), ("tiny_imagenet", "narrow64"), ("imagenet", "caffenet")],
)
def test_a_data_set_chooses_its_network_unless_the_user_does(data, net):
    def chosen(*overrides):
        return composed("train", "experiment=transfer", f"data={data}", *overrides).study.setting

    expected = OmegaConf.load(CONF / f"net/{net}.yaml")
    assert chosen().network == expected.network
    assert chosen().schedule == expected.schedule
    assert chosen("net=resnet18").network.name == "resnet18"


def test_the_kinds_of_cifar100_are_thirty_classes_each_of_six_superclasses():
    kinds = composed("train", "data=cifar100").data.catalog.kinds
    assert {kind: len(set(classes)) for kind, classes in kinds.items()} == {"man_made": 30, "natural": 30}
    assert not set(kinds.man_made) & set(kinds.natural)


@pytest.mark.parametrize("data", ["cifar10", "cifar100", "imagenet", "tiny_imagenet"])
def test_data_sets_of_classes_that_are_not_there_say_where_they_should_be(data, tmp_path):
    with pytest.raises(InstantiationException) as error:
        instantiate(composed("train", f"data={data}", f"data_dir={tmp_path}").data.catalog, _convert_="all")
    assert isinstance(error.value.__cause__, UserError)
    assert str(tmp_path) in str(error.value.__cause__)
    assert "put " in str(error.value.__cause__)


def test_a_study_of_one_cell_is_the_cell_that_was_asked_for():
    given = ["transfer.treatment=selffer", "transfer.n=5", "transfer.split_seed=2", "transfer.target=A"]
    study = instantiate(composed("train", "experiment=transfer_cell", *given).study, _convert_="all")
    assert study.cells == [Cell("selffer", 5, split_seed=2, target="A")]


def test_a_study_is_built_with_the_values_given():
    given = ["transfer.split=man_made_natural", "transfer.split_seeds=[4]", "transfer.images_per_class=9"]
    cfg = composed("train", "experiment=transfer", *given, "transfer.plan=true", "cache_dir=/c")
    study = instantiate(cfg.study, _convert_="all")
    tasks = study.setting.tasks
    assert (tasks.split, study.split_seeds, tasks.images_per_class, study.plan) == ("man_made_natural", [4], 9, True)
    assert tasks.splits["man_made_natural"] == HalvesByKind("natural", "man_made")
    assert (study.store, study.folder) == ("/c/transfer/networks.csv", "/c/transfer")


def data_of(cfg: DictConfig, images):
    return DataOf(cfg)(instantiate(cfg.task), images)


@pytest.mark.parametrize("experiment", ["within_class", "within_class_tiny_imagenet"])
def test_the_study_within_a_class_is_built_and_walks_as_far_as_lambda_says(experiment):
    cfg = composed("train", f"experiment={experiment}", "lambda=0.4", "cache_dir=/c", "study.sampling.pictures=7")
    study = instantiate(cfg.study, _convert_="all")
    assert (study.sampling.lam, study.sampling.pictures, study.folder) == (0.4, 7, "/c/within")
    assert (study.moved.flip, study.backbone is None) == (experiment != "within_class",) * 2
    assert study.network(classes=10, image_size=cfg.data.image_size)[-1][0].out_features == 10


def test_digits_data_is_built():
    data = data_of(composed("traverse", "data=digits", "task=digits"), 3)
    assert len(data.inputs) == 3
    assert data.image_size == 32
    assert (len(data.source), len(data.target)) == (150, 150)


def test_folder_data_is_built(tmp_path, save_picture):
    for i in range(3):
        save_picture(tmp_path / f"cat/{i}.png", i)
        save_picture(tmp_path / f"dog/{i}.png", 9 + i)
    overrides = [f"data.catalog.root={tmp_path}", "task=folder", *OPEN["task=folder"]]
    data = data_of(composed("traverse", "data=folder", *overrides), ["cat/0.png"])
    assert (len(data.source), len(data.target)) == (2, 3)


@pytest.mark.parametrize(("side", "size"), [(16, 32), (32, 32), (63, 56), (100, 96), (128, 128), (300, 128)])
def test_pictures_of_a_folder_are_edited_at_their_own_size_within_bounds(side, size, tmp_path, save_picture):
    for i in range(3):
        save_picture(tmp_path / f"cat/{i}.png", i, side)
        save_picture(tmp_path / f"dog/{i}.png", 9 + i, side)
    cfg = composed("traverse", "data=folder", f"data.catalog.root={tmp_path}")
    assert cfg.data.image_size is None
    assert DataOf(cfg)(None).image_size == size
    assert cfg.data.image_size == size, "which config.yaml says"
    own = composed("traverse", "data=folder", f"data.catalog.root={tmp_path}", "data.image_size=50")
    assert DataOf(own)(None).image_size == own.data.image_size == 50


def test_pictures_whose_files_say_no_size_are_edited_at_the_largest():
    cfg = composed("traverse", "data=digits", "data.image_size=null")
    assert DataOf(cfg)(None).image_size == 128


def test_lfw_data_is_built(data_dir):
    data = data_of(composed("traverse", f"data_dir={data_dir}"), 8)
    assert len(data.source) == len(data.target)
    assert len(data.source) == 2000  # the paper's number
    assert len(data.catalog.names) == 13143


def test_a_frowning_face_at_lambda_one_half():
    cfg = composed("traverse", "task=frowning", "lambda=0.5")
    assert cfg["lambda"] == 0.5
    assert isinstance(cfg["lambda"], float)
    assert (cfg.task.attribute, cfg.task.source) == ("Frowning", "Smiling")


def test_the_paths_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("DMT_DATA", "/a/data")
    monkeypatch.setenv("DMT_WEIGHTS", "/b/weights")
    cfg = composed("traverse")
    assert cfg.data.catalog.root == "/a/data/lfw"
    assert cfg.data.catalog.attributes == "/a/data/lfw_attributes.txt"
    assert cfg.backbone.networks[0].weights_dir == "/b/weights"
    monkeypatch.delenv("DMT_DATA")
    assert composed("traverse").data_dir == "~/.cache/dmt/data"


# Where one choice switches another


def test_the_table_of_switches_says_what_the_files_do():
    told = re.search(r"# What one choice decides[^\n]*\n((?:#   [^\n]*\n)+)", (CONF / "base.yaml").read_text())
    assert told is not None
    lines = [line.strip("# ").split(" -> ") for line in told.group(1).splitlines()]
    table = {(choice, decided) for choice, those in lines for decided in those.split(", ")}
    found = set()
    for file in FILES:
        if file.parent.name in ("experiment", "conf"):
            continue
        for entry in OmegaConf.load(file).get("defaults", []):
            if isinstance(entry, DictConfig) and (key := next(iter(entry))).startswith(("override ", "/selection")):
                group = re.sub(r"^override /|^/|@.*", "", key)
                chosen = str(entry[key]).replace("'", "")  # of a list
                found.add((f"{file.parent.name}={file.stem}", f"{group}={chosen}"))
    assert table == found


@pytest.mark.parametrize(
    ("choice", "key", "expected"),
    [
        ("backbone=vgg19_distilled", "regularizer", "regularizer=change"),
        ("data=tiny_imagenet", "net", "net=narrow64"),
    ],
)
def test_a_choice_switches_another_unless_the_user_makes_it(choice, key, expected):
    assert composed("traverse", choice)[key] == composed("traverse", expected)[key]
    own = {"regularizer": "regularizer=sparse", "net": "net=resnet18"}[key]
    for order in ([choice, own], [own, choice]):
        assert composed("traverse", *order)[key] == composed("traverse", own)[key]


OF_A_FOLDER = {
    "manifold": "local",
    "regularizer": "smooth",
    "parametrization": "spectrum",
    "solver": "quick",
    "judges": "[classes]",
}
OTHERS = {
    "manifold": "pca",
    "regularizer": "change",
    "parametrization": "pixels",
    "solver": "fine",
    "judges": "[]",
    "auto": "picture",
}


@pytest.mark.parametrize(
    ("choice", "decided"),
    [
        (["data=folder", *OPEN["data=folder"]], OF_A_FOLDER | {"auto": "least"}),
        (["task=explain", *OPEN["task=explain"]], OF_A_FOLDER),
    ],
)
def test_pictures_of_any_kind_are_edited_by_their_places_unless_the_user_says_otherwise(choice, decided):
    cfg = composed("traverse", *choice)
    for group, option in decided.items():
        assert cfg[group] == composed("traverse", f"{group}={option}")[group]
        assert cfg[group] != plain("traverse")[group]
        own = f"{group}={OTHERS[group]}"
        for order in ([*choice, own], [own, *choice]):
            assert composed("traverse", *order)[group] == composed("traverse", own)[group]


def test_a_question_to_a_classifier_is_asked_of_the_pictures_named_unless_the_user_names_other_data():
    cfg = composed("traverse", "task=explain", *OPEN["task=explain"])
    assert cfg.data.catalog == {"_target_": "dmt.data.Unlabelled", "root": "/nonexistent"}
    assert (
        composed("traverse", "task=explain", *OPEN["task=explain"], "data=digits").data
        == composed("traverse", "data=digits").data
    )


@pytest.mark.parametrize("choice", ["data=folder", "data=pictures"])
def test_training_fits_one_manifold_whatever_the_data_say_unless_the_user_or_a_study_does(choice):
    assert composed("train", choice, *OPEN[choice]).manifold == plain("train").manifold
    assert composed("train", choice, *OPEN[choice], "manifold=exact").manifold._target_ == "dmt.manifolds.ExactPCA"
    study = composed("train", choice, *OPEN[choice], "experiment=layer_scores")
    assert study.manifold == plain("traverse").manifold


def test_a_task_chooses_how_its_sets_are_chosen_unless_the_user_does():
    for option in [one for one in OPTIONS if one.startswith("task=")]:
        cfg = composed("traverse", option, *OPEN.get(option, []))
        assert cfg.selection == {}
        is_of_an_attribute = cfg.task._target_ == "dmt.data.AttributeTask"
        selection = cfg.task.get("selection")
        assert (selection._target_ if selection else None) == ("dmt.data.Matched" if is_of_an_attribute else None)
    assert composed("traverse", "task=frowning", "selection=nearest").selection._target_ == "dmt.data.Nearest"
