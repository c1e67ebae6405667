"""Fit what is fitted once: ``python train.py`` fits the manifold of a data set. See README.md."""

import hydra
from omegaconf import DictConfig

from dmt import cli


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> None:
    """Fit the manifold that ``conf/train.yaml`` describes."""
    with cli.errors_in_one_line():
        cli.train(cfg)


if __name__ == "__main__":
    cli.guarded(main)
