"""The command line, and what the Python front door takes from the configuration; all that knows Hydra.

``dmt-traverse``, ``dmt-train``, ``python -m dmt`` and the two scripts of a checkout all come here.
"""

import sys
from pathlib import Path


def conf_folder() -> Path:
    """The folder of the configuration: that of the installed package, or of the checkout."""
    package = Path(__file__).parents[1]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parents[1] / "conf"


def run_traverse() -> None:
    """``dmt-traverse``: edit images."""
    _run("traverse")


def run_train() -> None:
    """``dmt-train``: fit a manifold, or do a study of networks."""
    _run("train")


def run_module() -> None:
    """``python -m dmt PROGRAM ...``: one of the two, ``traverse`` or ``train``."""
    program = sys.argv[1] if len(sys.argv) > 1 else ""
    if program not in ("traverse", "train"):
        print(
            "usage: python -m dmt traverse|train [SETTING=VALUE ...]   (--help after either says more)", file=sys.stderr
        )
        sys.exit(2)
    del sys.argv[1]
    _run(program, f"python -m dmt {program}")


def _run(program: str, command: str = "") -> None:
    """Answer what needs no work, then run the program.

    Args:
        program: ``traverse`` or ``train``.
        command: how the user calls it; empty: as the script is called.
    """
    from dmt.cli.interruption import ended_by_signals

    with ended_by_signals():
        _answer(program, command)


def _answer(program: str, command: str) -> None:
    from dmt.cli.arguments import as_hydra_takes_them
    from dmt.cli.help import help_text, help_topic, wants_help
    from dmt.cli.overrides import check_overrides
    from dmt.errors import UserError

    sys.argv[1:] = arguments = as_hydra_takes_them(sys.argv[1:])
    try:
        if wants_help(arguments):
            print(help_text(program, conf_folder(), help_topic(arguments), command or _as_called()))
            return
        check_overrides(arguments, conf_folder(), program)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    from dmt.cli.programs import run  # Hydra and Lightning take seconds

    run(program)


def _as_called() -> str:
    script = Path(sys.argv[0])
    return f"python {script.name}" if script.suffix == ".py" else script.name
