"""Fit what is fitted once: ``python train.py`` fits the manifold of a data set. See README.md."""

from dmt.cli import run_train

if __name__ == "__main__":
    run_train()
