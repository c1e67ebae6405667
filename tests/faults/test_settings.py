"""Whatever is written for a setting is taken if it is of its type and range; else one line says what would be.

``campaign`` tries random values of every key of every option: most in this process, as far as parts are built; some
by commands that run.
"""

import copy
import math
import os
import random
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Interval, Le, Len, Lt, MaxLen, MinLen
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dmt.cli import build, conf_folder
from dmt.cli.command import composed, parsed
from dmt.cli.programs import run  # noqa: F401  # a command that is forked off has it
from dmt.cli.settings import SETTINGS, check_settings
from dmt.cli.signatures import LARGEST, MOST, described, parameters
from dmt.cli.targets import target
from dmt.errors import UserError
from dmt.ranges import Empty, Infinite, Named
from tests.test_configs import EXPERIMENTS, OPEN, OPTIONS

COMMANDS = [["experiment=digits"], *([option, *OPEN.get(option, [])] for option in OPTIONS)]
COMMANDS += [[f"experiment={name}"] for name in EXPERIMENTS]
CHEAP = ("kernel", "regularizer", "solver", "auto", "selection", "parametrization", "realise", "constraints")
CHEAP += ("method", "framing")
IN_A_COMMAND = 66  # as many values are tried in this process for each that is tried by a command
SECONDS = 120  # that a command may take
RUN = ["experiment=digits", "logger=none", "n_images=2", "progress=false", "data.set_size=20"]
RUN += ["manifold.n_components=8", "solver.inversion.iterations=5", "realise.rounds=1"]

WRITTEN = """
0 -1 1 2 3 7 1000 1e3 2.0 0.5 -0.5 1.5 0.999 1e-12 1e-300 -1e-12 1e9 1e23 -1e23 1e300 99999999999999999999
-99999999999999999999 inf -inf nan -0.0 0x10 '0x10' 1_000 '1e3' '0.5' abc '' null true false yes none auto mean max less
[] [1] [0] [-1] [nan] [null] [abc] [1,2] [[1]] [0.5,0.75] [1,2,3] [0.1,0.2,0.3] {} {a:1} {a:[b]} {_target_:os.system}
{_target_:os.system,command:'exit'} é 日本 '😀' ../x / ~ 'a,b' ${lambda} ${seed} ${nothing} ${lambda '${oc.env:HOME}'
${oc.env:NOPE} ${kernel} ${data.image_size} ${images} '${oc.create:{_target_:os.system}}' digit_0003 dmt.data.Digits
dmt.traversal.kernels.RBF torch.load builtins.exec os.system dmt.storage.files.write_text
""".split()  # noqa: SIM905
WRITTEN += ["' '", "'a b'", "a" * 5000, "'a\\nb'"]


def written(draw: random.Random) -> str:
    """A value as somebody may type it."""
    kind = draw.random()
    if kind < 0.6:
        return draw.choice(WRITTEN)
    if kind < 0.75:
        return repr(draw.uniform(-1, 1) * 10 ** draw.uniform(-20, 20))
    if kind < 0.85:
        return str(draw.randint(-3, 40))
    if kind < 0.93:
        return f"[{','.join(draw.choice(WRITTEN[:40]) for _ in range(draw.randint(0, 4)))}]"
    return "'" + "".join(chr(draw.choice([*range(32, 39), *range(40, 92), *range(93, 1000)])) for _ in range(5)) + "'"


@cache
def base(at: int) -> DictConfig:
    """One of the commands' configurations."""
    cfg = composed(conf_folder(), "traverse", [*COMMANDS[at], "output_dir=outputs"])
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    OmegaConf.set_struct(cfg, True)
    return cfg


def keys(node: DictConfig | ListConfig, place: str = "") -> Iterator[str]:
    """The dotted names of all settings, of parts as of what is in them."""
    for key in list(node) if isinstance(node, DictConfig) else range(len(node)):
        below = f"{place}.{key}" if place else str(key)
        yield below
        if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
            value = node[key]
            if isinstance(value, DictConfig):
                yield from keys(value, below)


@cache
def names(at: int) -> list[str]:
    return list(keys(base(at)))


# What may be taken, by an implementation of its own


def takes(annotation: Any, value: Any, ranges: Sequence[Any] = ()) -> bool:
    """Whether a value is of a type and in its range, read off the annotation without the help of pydantic."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return takes(inside[0], value, [*inside[1:], *ranges])
    if origin in (Union, UnionType):
        return any(takes(each, value, ranges) for each in inside)
    if any(isinstance(each, Named) for each in ranges):
        return isinstance(value, str | int | float | bool | None | list)
    if annotation in (Any, object):
        return True
    if annotation in (None, NoneType):
        return value is None
    if annotation is bool:
        return isinstance(value, bool)
    if annotation is int:
        return type(value) is int and abs(value) <= max(MOST, 2**32) and all(_holds(each, value) for each in ranges)
    if annotation is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        finite = is_number and math.isfinite(value) and abs(value) <= LARGEST
        infinite = is_number and any(isinstance(each, Infinite) for each in ranges) and value == math.inf
        return (finite or infinite) and all(_holds(each, value) for each in ranges)
    if annotation in (str, Path):
        return isinstance(value, str) and "\0" not in value and (value.strip() != "" or Empty() in ranges)
    if origin is Literal:
        return value in inside and not isinstance(value, bool)
    if (origin or annotation) in (Sequence, list, tuple, set):
        return isinstance(value, list) and all(takes((inside or (Any,))[0], each) for each in value) and all(
            _holds(each, value) for each in ranges
        )  # fmt: skip
    if (origin or annotation) in (Mapping, dict):
        return isinstance(value, dict) and all(takes((*inside, Any, Any)[1], each) for each in value.values())
    return isinstance(value, dict) and (not value or "_target_" in value)


def _holds(limit: Any, value: Any) -> bool:
    if isinstance(limit, Interval | Len):
        return all(_holds(each, value) for each in limit)
    if isinstance(limit, MinLen):
        return len(value) >= limit.min_length
    if isinstance(limit, MaxLen):
        return len(value) <= limit.max_length
    if isinstance(limit, Gt | Ge | Lt | Le):
        low, high = getattr(limit, "gt", None), getattr(limit, "lt", None)
        least, most = getattr(limit, "ge", None), getattr(limit, "le", None)
        return (
            (low is None or value > low)
            and (high is None or value < high)
            and (least is None or value >= least)
            and (most is None or value <= most)
        )
    return True


def annotation_of(cfg: DictConfig, key: str) -> Any:
    """What fills a setting, if somebody says."""
    if key in SETTINGS:
        return SETTINGS[key]
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    if isinstance(node, DictConfig) and "_target_" in node and not name.startswith("_"):
        arguments = parameters(target(node["_target_"], parent))
        return arguments.get(name, arguments.get("**", Any))
    return Any


# Trying


def tried_here(at: int, key: str, text: str) -> str:
    """What comes of a value in this process: ``refused``, ``fine``, or what is wrong."""
    try:
        value = parsed(f"x={text}").value()
    except HydraException:
        return "refused"
    cfg = base(at)
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    before, default = copy.deepcopy(node._get_node(name)), OmegaConf.select(cfg, key, throw_on_missing=False)
    try:
        node[name] = value
        return judged(cfg, key, annotation_of(cfg, key), default)
    except UserError as error:
        return "refused" if "\n" not in str(error) and len(str(error)) < 1000 else f"not one line: {error}"
    except (OmegaConfBaseException, HydraException):
        return "refused"  # in one line, by errors_in_one_line
    except Exception:
        return f"traceback: {traceback.format_exc(limit=-3)}"
    finally:
        node[name] = before


def judged(cfg: DictConfig, key: str, annotation: Any, default: Any) -> str:
    """Check and build what a setting is part of; then whether its value is one that it may have."""
    group = key.split(".")[0]
    check_settings(cfg, only=[group, *referring(group)])
    if group in CHEAP and (part := cfg.get(group)):
        for one in [part] if "_target_" in part else part.values():
            build.built(one)
    value = OmegaConf.select(cfg, key, throw_on_missing=False)
    plain = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    is_settled_later = value is None and OmegaConf.is_interpolation(node, name)  # as the size of pictures is
    is_allowed = takes(annotation, plain) or value == default or is_settled_later
    return "fine" if is_allowed else f"silent: {described(annotation)}"


@cache
def referring(group: str) -> list[str]:
    """The settings that refer to a group or setting, as those of most commands do."""
    content = OmegaConf.to_container(base(0), resolve=False)
    return [name for name, value in content.items() if f"${{{group}" in str(value) and name != group]


def tried_by_command(arguments: Sequence[str], folder: Path) -> str:
    """What comes of a command, in a process that this one becomes: ``refused``, ``fine``, or what is wrong."""
    said = folder / "said.txt"
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        os.chdir(folder)
        with said.open("w") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        code = 70
        try:
            sys.argv = ["traverse.py", *arguments]
            from dmt.cli import run_traverse

            run_traverse()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    text, code = said.read_text("utf-8", "replace"), os.waitstatus_to_exitcode(status)
    if "Traceback (most recent call last)" in text or code not in (0, 1, 2):
        return f"traceback: exit {code}: {text[-2000:]}"
    if code:
        last = text.strip().splitlines()[-1] if text.strip() else ""
        is_clear = last.startswith("error: ") and text.count("error: ") == 1
        return "refused" if is_clear else f"not one line: {text[-500:]}"
    missing = [name for name in ("results.csv", "grid.png") if not list(folder.rglob(name))]
    return f"silent: exit 0 without {' and '.join(missing)}" if missing else "fine"


def campaign(seed: int, count: int) -> dict[str, int]:
    """Try ``count`` values in this process and a sixty-sixth as many by commands.

    Args:
        seed: of what is tried.
        count: how many values.

    Returns:
        How many were ``tried``, how many of them were taken and are none (``silent``), ended in ``tracebacks``, or
        otherwise wrongly (``failures``); each of those is printed.
    """
    draw = random.Random(seed)
    found: Counter[str] = Counter(tried=0, silent=0, tracebacks=0, failures=0, fine=0, commands=0)

    def noted(what: str, outcome: str) -> None:
        found["tried"] += 1
        if outcome == "fine":
            found["fine"] += 1
        elif outcome != "refused":
            kind = outcome.partition(":")[0]
            found[{"silent": "silent", "traceback": "tracebacks"}.get(kind, "failures")] += 1
            print(f"{what}\n    {outcome}", flush=True)

    several = range(min(len(COMMANDS), 1 + count // 40))
    chosen = [0, *draw.sample(range(1, len(COMMANDS)), len(several) - 1)]
    for _ in range(count):
        at = draw.choice(chosen)
        key, text = draw.choice(names(at)), written(draw)
        noted(f"{' '.join(COMMANDS[at])} {key}={text[:80]}", tried_here(at, key, text))
    digits = [key for key in names(0) if not key.startswith(("output_dir", "data_dir", "cache_dir"))]
    for _ in range(math.ceil(count / IN_A_COMMAND)):
        argument = f"{draw.choice(digits)}={written(draw)}"
        with tempfile.TemporaryDirectory() as folder:
            noted(f"traverse.py {argument[:120]}", tried_by_command([*RUN, argument], Path(folder)))
        found["commands"] += 1
    return dict(found)


def test_random_values_of_random_settings_are_taken_or_refused():
    found = campaign(seed=18, count=IN_A_COMMAND * 3)
    assert found["fine"] > 10
    assert [found[what] for what in ("silent", "tracebacks", "failures")] == [0, 0, 0]
