"""Edit images: ``python traverse.py task=frowning lambda=0.3``. See README.md."""

from dmt.cli import run_traverse

if __name__ == "__main__":
    run_traverse()
