"""A configuration of a few files, which no change of ``conf/`` touches."""

from pathlib import Path
from textwrap import dedent

import pytest

FILES = {
    "traverse": """\
        # python traverse.py: edit images.
        defaults:
          - base
          - _self_
          - experiment: null
        """,
    "base": """\
        defaults:
          - data: faces
          - kernel: rbf
          - judges: [] # none
          - backbone: hybrid
          - task: frowning
          - logger: wandb
          - _self_

        # Smaller edits more.
        # As large as you like.
        lambda: 0.15
        images: [] # names or paths
        n_images: 8
        person: null
        figure: null
        study: null
        transfer: null
        judges: {}
        output:
          animation: none # or gif, mp4
          frames: 12
        trainer:
          _target_: builtins.dict
          accelerator: auto
        solver:
          inversion:
            iterations: 150
        weights_dir: '${oc.env:DMT_WEIGHTS,"~/.cache/dmt/weights"}' # the networks
        output_dir: .
        """,
    "data/faces": """\
        # Faces. They look at you.
        image_size: 125 # the paper
        set_size: 2000
        serving:
          batch_size: 8
        reserved:
          share: 0.0
          spared: []
        """,
    "data/folder": """\
        # Any pictures: data=folder data.catalog.root=photos
        image_size: 125
        catalog:
          _target_: builtins.dict
          root: ???
        """,
    "kernel/rbf": "bandwidth: mean # sigma^2\n",
    "kernel/rational_quadratic": "bandwidth: mean # sigma^2\nalpha: 1.0\n",
    "judges/faces": "happy: 1\n",
    "judges/probe": "probe: 1\n",
    "backbone/digits": "# It comes with the package.\nname: digits\n",
    "backbone/hybrid": "networks:\n  - weights: [a]\n  - weights: [b]\n",
    "task/frowning": "# Smiling -> frowning.\nattribute: Frowning\nsource: Smiling\n",
    "task/senior": "# Towards the old, from those\n# who are young. Spectacles appear.\nattribute: Senior\n",
    "task/attribute": "# Any: task=attribute task.attribute=Male\nattribute: ???\n",
    "logger/none": "{}\n",
    "logger/wandb": "project: dmt\n",
    "experiment/rows": """\
        # @package _global_
        # Rows of lambda.
        figure:
          lambdas: [1, 2]
        """,
    "experiment/transfer": """\
        # @package _global_
        defaults:
          - /backbone@transfer.other: digits
          - _self_
        transfer:
          plan: false
        """,
    "experiment/transfer_quick": "# @package _global_\ndefaults:\n  - transfer\n  - _self_\nn_images: 1\n",
    "experiment/benchmark": "# @package _global_\nstudy:\n  lambdas: [1]\n  folder: x\n",
}


@pytest.fixture(scope="session")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like ``conf/``."""
    folder = tmp_path_factory.mktemp("small") / "conf"
    for name, text in FILES.items():
        file = folder / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))
    return folder
