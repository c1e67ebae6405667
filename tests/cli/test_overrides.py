import math
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import OmegaConf

from dmt.cli.arguments import as_hydra_takes_them, with_infinity, with_several_tasks
from dmt.cli.command import composed, parsed
from dmt.cli.conf_files import names
from dmt.cli.names import GONE, MEANT, OF_PARTS, RENAMED, REPLACED
from dmt.cli.overrides import check_overrides, explain
from dmt.errors import UserError
from tests.documents import COMMANDS, commands_in

ROOT = Path(__file__).resolve().parents[2]


def refused_by_hydra(arguments: list[str], conf: Path, program: str = "traverse") -> Exception | None:
    """What Hydra itself says of a command line; of a sweep as a whole and of each of its runs."""
    flags = get_args_parser().parse_args(arguments)
    loader = ConfigLoaderImpl(create_config_search_path(str(conf)))
    try:
        if flags.multirun:
            loader.load_configuration(program, flags.overrides, RunMode.MULTIRUN)
        overrides = OverridesParser.create(loader).parse_overrides(flags.overrides)
        (runs,) = BasicSweeper.split_arguments(overrides, None) if flags.multirun else ([flags.overrides],)
        for run in runs:
            loader.load_configuration(program, run, RunMode.RUN)
    except HydraException as error:
        return error
    return None


def answer(command: str, conf: Path) -> str:
    """What the user is told; the test fails where there is nothing to tell, or more than a line."""
    arguments = shlex.split(command)
    try:
        check_overrides(arguments, conf, "traverse")
    except UserError as error:
        line = str(error)
    else:
        refused = refused_by_hydra(arguments, conf)
        assert refused is not None, "Hydra takes it"
        line = explain(refused, arguments, conf, "traverse")
    assert line
    assert "\n" not in line
    assert "append" not in line
    return line


TASKS = "(there are attribute, frowning, senior)"
ANSWERS = [
    # names that are no setting
    ("lamda=0.5", "there is no setting 'lamda'; did you mean 'lambda'?"),
    ("Lambda=0.5", "there is no setting 'Lambda'; did you mean 'lambda'?"),
    ("taks=frowning", "there is no setting 'taks'; did you mean 'task'?"),
    ("data.imagesize=250", "there is no setting 'data.imagesize'; did you mean 'data.image_size'?"),
    ("data.set_sice=10", "there is no setting 'data.set_sice'; did you mean 'data.set_size'?"),
    ("kernel.bandwith=1", "there is no setting 'kernel.bandwith'; did you mean 'kernel.bandwidth'?"),
    ("data.frames=1", "there is no setting 'data.frames'; did you mean 'output.frames'?"),
    ("bandwidth=1", "there is no setting 'bandwidth'; did you mean 'kernel.bandwidth'?"),
    ("imagesize=64", "there is no setting 'imagesize'; did you mean 'data.image_size'?"),
    ("backbone.networks.1.wieghts=[c]", "did you mean 'backbone.networks.1.weights'?"),
    ("hydra.run.dri=x", "there is no setting 'hydra.run.dri'; did you mean 'hydra.run.dir'?"),
    ("data.xyzzy=1", "data has image_size, set_size, serving, reserved"),
    ("xyzzy=1", "there is no setting 'xyzzy'; --help lists the settings"),
    ("~lamda", "there is no setting 'lamda'; did you mean 'lambda'?"),
    ("experiment=rows figure.lambda=[1]", "there is no setting 'figure.lambda'; did you mean 'figure.lambdas'?"),
    ("-m task=frowning,senior lamda=1,2", "there is no setting 'lamda'; did you mean 'lambda'?"),
    # settings that another choice brings
    ("kernel.alpha=2", "there is no setting 'kernel.alpha' with kernel=rbf; there is with kernel=rational_quadratic"),
    ("kernel.alhpa=2", "did you mean 'kernel.alpha', with kernel=rational_quadratic?"),
    ("transfer.plan=true", "there is with experiment=transfer or experiment=transfer_quick"),
    # other names for things
    ("device=cuda", "there is no setting 'device'; write trainer.accelerator=gpu"),
    ("size=250", "there is no setting 'size'; did you mean 'data.image_size'?"),
    ("batchsize=4", "there is no setting 'batchsize'; did you mean 'data.serving.batch_size'?"),
    ("image=a.jpg", "there is no setting 'image'; did you mean 'images'?"),
    ("root='my photos'", "write data=folder 'data.catalog.root=my photos'"),
    # what is called otherwise now, or is no more
    ("data.batch_size=4", "data.batch_size is now called data.serving.batch_size"),
    ("data.spared=[a]", "data.spared is now called data.reserved.spared"),
    ("experiment=rows figure.budgets=[1]", "figure.budgets is now called figure.lambdas"),
    ("experiment=benchmark figure.budgets=[1]", "figure.budgets is now called study.lambdas"),
    ("experiment=benchmark figure.folder=x", "figure.folder is now called study.folder"),
    ("figure.budgets=[1]", "figure.budgets is now called figure.lambdas; there is one with experiment=rows"),
    ("match_colors=true", "there is no match_colors any more: results with it were no better"),
    ("backbone=digits backbone.width=2", "there is no backbone.width any more: the digits' network comes with"),
    ("judges=[none]", "there is no judges=none any more; write judges=[]"),
    ("trainer=ddp", "there is no trainer=ddp any more; write trainer.strategy=ddp trainer.devices=auto"),
    # options
    ("task=frownin", f"task has no option 'frownin'; did you mean 'frowning'? {TASKS}"),
    ("task=Frowning", f"task has no option 'Frowning'; did you mean 'frowning'? {TASKS}"),
    ("task=xyzzy", f"task has no option 'xyzzy' {TASKS}"),
    ("task=", f"task= names no option {TASKS}"),
    ("task=3", f"task has no option '3' {TASKS}"),
    ("logger=null", "logger has no option 'null'; did you mean 'none'? (there are none, wandb)"),
    ("experiment=[rows,transfr]", "experiment has no option 'transfr'; did you mean 'transfer'?"),
    ("judges=[face]", "judges has no option 'face'; did you mean 'faces'? (there are faces, probe)"),
    ("-m task=frowning,senor", f"task has no option 'senor'; did you mean 'senior'? {TASKS}"),
    ("-m judges=[faces],[prob]", "judges has no option 'prob'; did you mean 'probe'?"),
    ("hydra/launcher=jobli", "hydra/launcher has no option 'jobli'"),
    ("hydra/launcher=submitit_slurm", "needs a package: pip install 'dmt[slurm]'"),
    ("backbone@transfer.othr=digits experiment=transfer", "did you mean 'backbone@transfer.other'?"),
    ("taks@x=digits", "there is no group 'taks'; did you mean 'task'?"),
    ("+task=senior", "an option of task is chosen already: write task=senior, without +"),
    ("++task=senior", "an option is chosen without +: write task=senior"),
    ("+lambda=1", "lambda is a setting already: write lambda=1, without +"),
    # what is no NAME=VALUE
    ("frowning", "settings are written name=value: write task=frowning"),
    ("frownin", "did you mean task=frowning?"),
    ("xyzzy", "'xyzzy' is no setting: settings are written name=value, as in task=frowning; --help"),
    ("photos/me.jpg", "write 'images=[photos/me.jpg]'"),
    ("lambda 0.5", "write lambda=0.5"),
    ("lambda = 0.5", "write lambda=0.5"),
    ("lambda =0.5", "write lambda=0.5"),
    ("lambda:0.5", "write lambda=0.5"),
    ("task", "task needs a value: write task=frowning"),
    ("help", "write --help for help"),
    ("person=George W Bush", "a value with spaces needs quotes: 'person=George W Bush'"),
    ("=3", "'=3' has no name"),
    # flags
    ("--lambda 0.5", "settings are written without dashes: write lambda=0.5"),
    ("--task=frowning", "settings are written without dashes: write task=frowning"),
    ("--n-images 3", "settings are written without dashes: write n_images=3"),
    ("-images=3", "settings are written without dashes: write images=3"),
    ("-person=3", "settings are written without dashes: write person=3"),
    ("--device cuda", "there is no setting 'device'; write trainer.accelerator=gpu"),
    ("--lamda 1", "settings are written name=value, without dashes, and there is no setting 'lamda'; did you mean"),
    ("--output x", "settings are written without dashes: write output_dir=x"),
    ("--multirn task=senior", "there is no flag '--multirn'; did you mean '--multirun'?"),
    ("task=senior -m lambda=1,2", "-m must be before the settings: -m task=senior lambda=1,2"),
    ("--cfg jobs", "argument --cfg/-c: invalid choice: 'jobs'"),
    ("--cfg job -m", "only one of --multirun and --cfg can be given"),
    ("--resolve", "--resolve is of use with --cfg only: --cfg job --resolve"),
    # values
    ("task=frowning,senior", "has several values; for a run with each write -m task=frowning,senior"),
    ("person=a,b", "write -m person=a,b; a name with a comma has quotes: 'person=\"a,b\"'"),
    ("images=a,b", "for a run with each write -m images=a,b; a list has brackets: 'images=[a,b]'"),
    ("task=frowning, senior", "cannot read 'task=frowning,': write task=frowning,senior"),
    ("images=[a, b.jpg]", "write 'images=[a, b.jpg]'"),
    ("'images=me (1).jpg'", "write 'images=\"me (1).jpg\"'"),
    ("'images=[me (1).jpg,b]'", "write 'images=[\"me (1).jpg\",b]'"),
    ("'backbone.networks[0].weights=[c]'", "write 'backbone.networks.0.weights=[c]'"),
    ("images.0=a", "cannot set images.0=a: list index out of range"),
    ("output=x", "output has the parts animation, frames; did you mean output_dir=x?"),
    ("solver=lbfgs", "solver has the parts inversion; write one, as solver.inversion.iterations=VALUE"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "words"), ANSWERS, ids=[command for command, _ in ANSWERS])
def test_what_is_wrong_is_said_in_one_line_with_its_remedy(conf, command, words):
    assert words in answer(command, conf)


TAKEN = [
    "",
    "lambda=0.5 task=senior n_images=2",
    "lambda=auto",
    "+new=3",
    "++new.deep=3",
    "++lambda=3",
    "~logger",
    "~task=frowning",
    "~lambda",
    "task=[frowning]",
    "task=frowning.yaml",
    "task=../kernel/rbf",
    "experiment=rows figure.lambdas=[1]",
    "figure.lambdas=[1] experiment=rows",
    "experiment=transfer transfer.plan=true",
    "experiment=[rows,transfer]",
    "transfer={plan:true}",
    "task.attribute=Male task=attribute",
    "task=attribute 'task.attribute=Wavy Hair'",
    "kernel=rational_quadratic kernel.alpha=2",
    "experiment=transfer backbone@transfer.other=hybrid",
    "+backbone@study.other=digits",
    "judges=[] judges=[faces,probe]",
    "'images=[\"a, b (1).jpg\",c/d.png]'",
    "'person=George W Bush'",
    "'person=\"it is: (1) = [2]\"'",
    "'output={animation: gif}'",
    "output=null",
    "output.animation=gif",
    "data.reserved=0.25",
    "'data.reserved={share: 0.25}'",
    "backbone.networks.0.weights=[c]",
    "'figure=${output}'",
    "'trainer=${output}'",
    "hydra.run.dir=x hydra.job.name=y",
    "hydra/launcher=basic",
    "-m task=frowning,senior lambda=0.1,0.2",
    "--multirun 'lambda=range(1,3)' 'kernel=glob(*)' 'n_images=choice(1,2)'",
    "-m judges=[faces],[] 'images=[a],[b,c]'",
    "--cfg job lambda=3",
    "-c job -p data",
    "--cfg job --resolve",
    "-r lambda=1",
    "lambda=1 -m",
]


@pytest.mark.parametrize("command", TAKEN)
def test_what_hydra_takes_is_taken(conf, command):
    arguments = shlex.split(command)
    assert refused_by_hydra(arguments, conf) is None
    check_overrides(arguments, conf, "traverse")


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "-h task",
        "--hydra-help",
        "--info",
        "--info defaults lambda=3",
        "-sc install=bash",
        "-cn base",
        "--config-name=base lambda=3",
        "-cd mine task=mine",
        "--config-dir mine experiment=mine,yours -m",
        "--config-path mine something=else",
        "hydra.searchpath=[file://mine] task=mine",
    ],
)
def test_what_hydra_does_besides_and_other_folders_of_configuration_are_left_to_it(conf, command):
    check_overrides(shlex.split(command), conf, "traverse")


@pytest.mark.parametrize(("program", "options"), COMMANDS)
def test_every_command_of_the_documents_is_taken(program, options):
    check_overrides(shlex.split(options, comments=True), ROOT / "conf", program)


def test_commands_are_found_in_the_documents():
    assert len(COMMANDS) > 60
    page = "`dmt-train a=1`, python -m dmt traverse b=2\n python traverse.py c=3 \\\n d=4\n`dmt-traverse`, dmt-trainer"
    assert commands_in(page) == {("train", "a=1"), ("traverse", "b=2"), ("traverse", "c=3   d=4"), ("traverse", "")}


@pytest.mark.parametrize(
    ("task", "line"),
    [
        ("attribute", "task=attribute needs task.attribute=VALUE (Any: task=attribute task.attribute=Male)"),
        ("frowning", None),
    ],
)
def test_what_a_choice_leaves_open_is_said_with_an_example(conf, task, line):
    cfg = composed(conf, "traverse", [f"task={task}"])
    try:
        said = str(cfg.task.attribute)
    except Exception as error:
        said = explain(error, [f"task={task}"], conf, "traverse")
        assert said == line
    else:
        assert (said, line) == ("Frowning", None)


def test_what_is_missing_is_said_where_an_object_is_built(conf):
    cfg = composed(conf, "traverse", ["data=folder"])
    with pytest.raises(Exception, match="Missing mandatory value") as caught:
        instantiate(cfg.data.catalog)
    assert explain(caught.value, ["data=folder"], conf, "traverse") == (
        "data=folder needs data.catalog.root=VALUE (Any pictures: data=folder data.catalog.root=photos)"
    )


@pytest.mark.parametrize("error", [UserError("n_images must be 1 or more"), OSError(28, "No space"), KeyError("x")])
def test_errors_that_are_not_about_the_command_line_speak_for_themselves(conf, error):
    assert explain(error, ["lambda=1"], conf, "traverse") is None


def test_a_user_error_behind_one_of_hydras_speaks_for_itself(conf):
    error = HydraException("Error in call to target")
    error.__cause__ = UserError("n_images must be 1 or more")
    assert explain(error, [], conf, "traverse") is None


def test_the_configuration_of_others_is_left_to_hydra(conf):
    error = refused_by_hydra(["lamda=1"], conf)
    assert explain(error, ["-cd", "mine", "lamda=1"], conf, "traverse") is None
    assert explain(error, ["lamda=1"], conf, "no_such_configuration") is None


# The tables, against conf/


@pytest.fixture(scope="module")
def settings():
    """The settings of the real configuration, and of those experiments that the tables are about."""

    def of(*overrides):
        content = OmegaConf.to_container(composed(ROOT / "conf", "traverse", overrides), resolve=False)
        return set(names(content))

    commands = [[], ["experiment=fig6_lambda"], ["experiment=benchmark"], ["experiment=layer_scores"]]
    return set.union(*(of(*overrides) for overrides in commands))


def test_every_setting_that_people_mean_exists(settings):
    plain = [meant if isinstance(meant, tuple) else (meant,) for meant in MEANT.values() if "=" not in meant]
    groups = {folder.name for folder in (ROOT / "conf").iterdir()}
    assert not [meant for meant in plain if not set(meant) & (settings | groups)]
    assert set(OF_PARTS.values()) <= settings


def test_no_word_for_a_setting_is_one_itself(settings):
    assert not set(MEANT) & settings


@pytest.mark.parametrize("written", sorted({m for m in [*MEANT.values(), *REPLACED.values()] if "=" in m}))
def test_what_we_say_to_write_is_taken(written):
    composed(ROOT / "conf", "traverse", [part.format("x") for part in written.split()])


def test_what_is_renamed_has_its_new_name_alone(settings):
    leaves = {old: new for old, new in RENAMED.items() if old not in ("figure", "scores")}
    assert not set(leaves) & settings
    assert not [old for old, new in leaves.items() if not set(new) & settings]
    assert {"study.folder", "study.cases", "study.levels", "study.only", "study.traversal"} <= settings


def test_what_is_gone_is_gone(settings):
    assert not [entry for entry in GONE if " " not in entry and entry in settings]
    for group, _, option in (choice.partition("=") for choice in REPLACED):
        assert not (ROOT / f"conf/{group}/{option}.yaml").exists()
    digits = OmegaConf.load(ROOT / "conf/backbone/digits.yaml")
    assert not {"width", "weights"} & set(digits)


def test_settings_of_parts_have_parts():
    cfg = composed(ROOT / "conf", "traverse", [])
    assert all(OmegaConf.is_dict(cfg[name]) for name in OF_PARTS)


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("lambda=.inf", "lambda=inf"),
        ("lambda=inf", "lambda=inf"),
        ("lambda=.Inf", "lambda=inf"),
        ("lambda=∞", "lambda=inf"),
        ("figure.lambdas=[.inf,0.3]", "figure.lambdas=[inf,0.3]"),
        ("figure.lambdas=[0.3, .inf]", "figure.lambdas=[0.3, inf]"),
        ("auto={lowest: .1, highest: .inf}", "auto={lowest: .1, highest: inf}"),
        ("lambda=.inf,0.3", "lambda=inf,0.3"),
        ("images=[a.inf,.info]", "images=[a.inf,.info]"),
        ("task.source=.inf", "task.source=.inf"),
    ],
)
def test_infinity_may_be_written_as_in_yaml(written, taken):
    assert with_infinity([written]) == [taken]


@pytest.mark.parametrize("spelling", ["inf", ".inf"])
def test_both_spellings_of_infinity_reach_the_program_as_a_number(spelling):
    arguments = as_hydra_takes_them(
        ["experiment=fig6_lambda", f"figure.lambdas=[{spelling},0.3]", f"lambda={spelling}"]
    )
    check_overrides(arguments, ROOT / "conf", "traverse")
    cfg = composed(ROOT / "conf", "traverse", arguments)
    assert list(cfg.figure.lambdas) == [math.inf, 0.3]
    assert cfg["lambda"] == math.inf


def test_one_of_a_sweep_may_be_infinite():
    (swept,) = as_hydra_takes_them(["lambda=.inf,0.3"])
    assert list(parsed(swept).sweep_iterator()) == [math.inf, 0.3]


# As a user sees it


@pytest.mark.parametrize("wanted", ["0", "1"])
def test_errors_that_cause_themselves_are_explained_too(monkeypatch, conf, wanted):
    monkeypatch.setenv("OC_CAUSE", wanted)  # as in a debugger, OmegaConf then names an error as its own cause
    assert answer("images.0=a", conf) == "cannot set images.0=a: list index out of range"


PROGRAM = """
import os, sys
from pathlib import Path

import hydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from dmt.cli.arguments import with_several_tasks
from dmt.cli.overrides import check_overrides, explain
from dmt.errors import UserError

os.environ["HYDRA_FULL_ERROR"] = "1"
PLACE = (sys.argv[1:], Path({conf!r}), "traverse")

@hydra.main(version_base="1.3", config_path={conf!r}, config_name="traverse")
def main(cfg):
    print("lambda is", cfg["lambda"], cfg.task.attribute)

try:
    check_overrides(*PLACE)
    main()
except (UserError, HydraException, OmegaConfBaseException) as error:
    sys.exit("error: " + (explain(error, *PLACE) or str(error)))
"""


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["lambda=0.5"], 0, "lambda is 0.5 Frowning"),
        (["lamda=0.5"], 1, "error: there is no setting 'lamda'; did you mean 'lambda'?\n"),
        (["--lambda", "0.5"], 1, "error: settings are written without dashes: write lambda=0.5\n"),
        (["-m", "lambda=0.1,0.2", "kernel.bandwith=1"], 1, "did you mean 'kernel.bandwidth'?\n"),
        (["task=attribute"], 1, "error: task=attribute needs task.attribute=VALUE"),
    ],
)
def test_a_program_answers_in_one_line(conf, tmp_path, arguments, code, words):
    program = tmp_path / "traverse.py"
    program.write_text(PROGRAM.format(conf=str(conf)))
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, program, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code
    assert words in (done.stderr if code else done.stdout)
    assert "Traceback" not in done.stderr


def test_several_tasks_at_once_are_written_as_hydra_takes_them():
    assert with_several_tasks(["task=[ smiling, senior]", "lambda=0.5"]) == [
        "task=several", "+task@task.smiling=smiling", "+task@task.senior=senior", "lambda=0.5"
    ]  # fmt: skip
    for other in ("task=smiling", "task=[]", "task=a,b", "keep=[Male,Senior]"):
        assert with_several_tasks([other]) == [other]
