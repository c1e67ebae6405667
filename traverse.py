"""Edit images: ``python traverse.py task=frowning lambda=0.3``. See README.md."""

import hydra
from omegaconf import DictConfig

from dmt import cli


@hydra.main(version_base="1.3", config_path="conf", config_name="traverse")
def main(cfg: DictConfig) -> None:
    """Edit the images that ``conf/traverse.yaml`` describes."""
    with cli.errors_in_one_line():
        cli.traverse(cfg)


if __name__ == "__main__":
    cli.guarded(main)
