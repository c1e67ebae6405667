"""What several test files share: a shielded environment, real data where there is some, small pictures and runs."""

import dmt  # noqa: F401, I001 - before anything that imports torchvision or Lightning

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer

from tests import small


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the whole session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session", autouse=True)
def shielded_environment(cache_dir: Path) -> Iterator[None]:
    """Keep wandb offline, caches in a temporary folder, and the user's own settings out."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "HYDRA_FULL_ERROR"):
            patch.delenv(name, raising=False)
        patch.setenv("WANDB_MODE", "offline")
        for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
            patch.setenv(name, str(cache_dir / "wandb"))
        patch.setenv("DMT_CACHE", str(cache_dir))
        patch.setenv("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)  # threads that wait for each other on a busy machine cost more than they bring
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with ``lfw/`` and ``lfw_attributes.txt``; skipped where DMT_DATA names none."""
    return _folder("DMT_DATA", "lfw_attributes.txt")


@pytest.fixture(scope="session")
def weights_dir() -> Path:
    """The folder with pretrained networks; skipped where DMT_WEIGHTS names none."""
    return _folder("DMT_WEIGHTS", "vgg19_distilled16x_conv5_1.safetensors")


@pytest.fixture(scope="session")
def quiet_trainer() -> Callable[..., Trainer]:
    """Makes trainers that write nothing."""
    return small.quiet_trainer


@pytest.fixture(scope="session")
def save_picture() -> Callable[..., Path]:
    """Saves noise as a picture file, the same for the same seed."""
    return small.save_picture


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A Chromium, without a window; skipped where there is none, or no Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'dmt[dev]'")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def serious_findings() -> Callable[..., list[str]]:
    """Has axe-core look at an open page; says what it finds serious."""
    folder = pytest.importorskip("axe_core_python", reason="needs axe-core-python: pip install 'dmt[dev]'").__path__[0]
    script = (Path(folder) / "axe.min.js").read_text(encoding="utf-8")

    def serious(page: Any, only: list[str] | None = None) -> list[str]:
        page.evaluate(script)
        options = {"resultTypes": ["violations"], **({"runOnly": only} if only else {})}
        found = page.evaluate("options => axe.run(options)", options)["violations"]
        return [f"{one['id']} {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]

    return serious


def _folder(variable: str, file: str) -> Path:
    folder = Path(os.environ.get(variable, "/nonexistent")).expanduser()
    if not (folder / file).is_file():
        pytest.skip(f"{variable} names no folder with {file}")
    return folder
