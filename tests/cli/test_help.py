import re
import shlex
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from dmt.cli.command import composed
from dmt.cli.conf_files import commented_settings, defaults, first_sentence, groups, names, options, own_settings
from dmt.cli.help import GROUPS, PAGES, help_text, help_topic, wants_help
from dmt.cli.overrides import check_overrides
from dmt.errors import UserError

CONF = Path(__file__).resolve().parents[2] / "conf"
PROGRAMS = sorted(PAGES)


@pytest.mark.parametrize(
    ("arguments", "wanted", "topic"),
    [
        (["--help"], True, None),
        (["-h"], True, None),
        (["--help", "task"], True, "task"),
        (["task", "--help"], True, "task"),
        (["-h", "task=senior"], True, "task=senior"),
        (["experiment=digits", "--help"], True, None),
        (["experiment=digits", "-m", "--help", "lambda"], True, "lambda"),
        (["--hydra-help"], False, None),
        (["task=senior", "--cfg", "job"], False, None),
        ([], False, None),
    ],
)
def test_help_is_known_by_its_flag_and_its_topic(arguments, wanted, topic):
    assert wants_help(arguments) == wanted
    if wanted:
        assert help_topic(arguments) == topic


# The real page


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("command", [None, "dmt-traverse", "python -m dmt traverse"])
def test_the_page_can_be_read_in_little_more_than_a_screen(program, command):
    text = help_text(program, CONF, command=command)
    lines = text.splitlines()
    assert 40 < len(lines) <= 68
    assert max(map(len, lines)) <= 100
    assert not [line for line in lines if line != line.rstrip()]
    assert f"usage: {command or f'python {program}.py'} " in text


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_page_names_every_option_of_every_group_it_shows(program):
    text = " ".join(help_text(program, CONF).split())
    shown = [group for group in groups(CONF) if group not in PAGES[program].others]
    chosen = composed(CONF, program, []).hydra.runtime.choices
    for group in shown:
        listed = [f"{option}*" if option == chosen.get(group) else option for option in options(CONF, group)]
        assert f"{group} {GROUPS[group]}: {', '.join(listed)}" in text


def test_every_group_has_its_words():
    assert set(GROUPS) == set(groups(CONF))
    assert {group for page in PAGES.values() for group in page.others} <= set(GROUPS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_page_says_of_settings_what_the_configuration_says(program):
    text = " ".join(help_text(program, CONF).split())
    settings = commented_settings(CONF / "base.yaml")
    for name in PAGES[program].settings:
        assert settings[name].comment
        assert settings[name].comment in text


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_page_names_the_environment_variables_of_the_configuration(program):
    variables = set(re.findall(r"oc\.env:(\w+)", (CONF / "base.yaml").read_text()))
    assert variables
    assert not [variable for variable in variables if f"  {variable} " not in help_text(program, CONF)]


@pytest.mark.parametrize(("program", "example"), [(p, e) for p in PROGRAMS for e in PAGES[p].examples])
def test_every_example_is_a_command_that_works(program, example):
    arguments = shlex.split(example)
    check_overrides(arguments, CONF, program)
    if "-m" not in arguments:
        composed(CONF, program, arguments)


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_every_group_and_every_option_has_a_page(group):
    text = help_text("traverse", CONF, group)
    assert max(map(len, text.splitlines())) <= 100
    for option in options(CONF, group):
        assert re.search(rf"^  {option}\*?( |$)", text, re.MULTILINE)
        assert (CONF / group / f"{option}.yaml").read_text().strip() in help_text("traverse", CONF, f"{group}={option}")


def test_settings_are_read_as_yaml_reads_them():
    content = OmegaConf.to_container(OmegaConf.load(CONF / "base.yaml"))
    read = commented_settings(CONF / "base.yaml")
    assert set(read) == {name for name in names(content) if not name.startswith("defaults")}
    for name, (value, _) in read.items():
        node = content
        for key in name.split("."):
            node = node[key]
        assert isinstance(node, dict) if not value else OmegaConf.create(f"a: {value}")._content["a"] == node


# What is read from files, on a small configuration


def test_the_page_of_a_group_says_what_each_option_is(conf):
    assert help_text("traverse", conf, "task").splitlines() == [
        "task=OPTION: what is to change",
        "* unless you choose one",
        "",
        "  attribute  Any: task=attribute task.attribute=Male",
        "  frowning*  Smiling -> frowning.",
        "  senior     Towards the old, from those who are young.",
        "",
        "What can be set in an option: python traverse.py --help task=attribute",
    ]


def test_an_option_without_a_comment_says_what_it_sets(conf):
    assert "  rational_quadratic  bandwidth=mean, alpha=1.0" in help_text("traverse", conf, "kernel").splitlines()


def test_the_page_of_an_option_is_its_file(conf):
    first, empty, *rest = help_text("traverse", conf, "task=senior").splitlines()
    assert first == "task=senior is conf/task/senior.yaml; what is in it is set by task.NAME=VALUE"
    assert [empty, *rest][1:] == (conf / "task/senior.yaml").read_text().splitlines()
    assert "set by NAME=VALUE" in help_text("traverse", conf, "experiment=rows")


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("lambda", ["lambda=0.15  Smaller edits more. As large as you like."]),
        ("output", ["output", "output.animation=none  or gif, mp4", "output.frames=12"]),
        ("kernel.alpha", ["kernel.alpha=1.0  with kernel=rational_quadratic"]),
        ("kernel.bandwidth", ["kernel.bandwidth=mean  sigma^2; with kernel=rational_quadratic, rbf"]),
    ],
)
def test_the_page_of_a_setting_is_its_comment(conf, name, lines):
    assert help_text("traverse", conf, name).splitlines() == lines


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ("lamda", "no help on 'lamda'; did you mean 'lambda'?"),
        ("tsak", "no help on 'tsak'; did you mean 'task'?"),
        ("xyzzy", "no help on 'xyzzy'; --help lists the groups and some settings"),
        ("task=frownin", "task has no option 'frownin'; did you mean 'frowning'? (there are attribute, frowning,"),
    ],
)
def test_what_there_is_no_help_on_is_an_error_that_names_the_nearest(conf, topic, message):
    with pytest.raises(UserError, match=re.escape(message)):
        help_text("traverse", conf, topic)


def test_what_is_chosen_without_a_word_is_read_from_the_lists_of_defaults(conf):
    assert defaults(conf, "traverse") == {
        "data": "faces", "kernel": "rbf", "judges": "", "backbone": "hybrid", "task": "frowning", "logger": "wandb",
        "experiment": "",
    }  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_defaults_that_are_read_are_those_that_hydra_takes(program):
    taken = composed(CONF, program, []).hydra.runtime.choices
    read = {group: option for group, option in defaults(CONF, program).items() if option}
    assert read
    assert {group: taken[group] for group in read} == read


def test_the_first_sentence_heads_a_file_and_needs_no_full_stop(tmp_path):
    file = tmp_path / "a.yaml"
    for text, sentence in {
        "# @package _global_\n# One thing, e.g. this,\n# and that. Another.\nx: 1\n": "One thing, e.g. this, and that.",
        "# As in fig. 3 of them:\n# traverse.py x=1\n": "As in fig. 3 of them",
        "x: 1 # beside\n": "",
    }.items():
        file.write_text(text)
        assert first_sentence(file) == sentence


def test_an_option_has_the_settings_of_those_it_builds_on(conf):
    assert own_settings(conf, "kernel", "rational_quadratic") == {"kernel.bandwidth", "kernel.alpha"}
    assert own_settings(conf, "experiment", "transfer_quick") == {"transfer", "transfer.plan", "n_images"}
