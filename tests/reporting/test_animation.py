"""Animations read back: how many frames, how long, how large, and in what colours."""

import sys
from pathlib import Path
from warnings import catch_warnings

import numpy as np
import pytest
from PIL import Image, ImageSequence

from dmt.errors import UserError
from dmt.reporting.animation import write_animation

COLOURS = [(200, 30, 60), (30, 200, 90), (40, 60, 220), (230, 220, 40)]


def flat(colour: tuple[int, int, int], height: int = 100, width: int = 120) -> np.ndarray:
    return np.full((height, width, 3), colour, dtype=np.uint8)


def smooth(shift: float, height: int = 100, width: int = 120) -> np.ndarray:
    """A picture of many more than 256 colours, without edges."""
    y, x = np.mgrid[:height, :width] / width
    waves = [np.sin(4 * x + shift), np.cos(3 * y - shift), np.sin(2 * (x + y) + 2 * shift)]
    return (127.5 + 110 * np.stack(waves, axis=-1)).astype(np.uint8)


def read_gif(path: Path) -> tuple[np.ndarray, list[int]]:
    """Return the frames and their milliseconds."""
    with Image.open(path) as gif:
        shown = [(np.asarray(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(gif)]
    frames, durations = zip(*shown, strict=True)
    return np.stack(frames), list(durations)


def read_mp4(path: Path) -> tuple[np.ndarray, dict]:
    """Return the frames and what the file says of itself; imageio leaves the pipe it reads from to the collector."""
    imageio = pytest.importorskip("imageio.v2")
    with catch_warnings(action="ignore", category=ResourceWarning), imageio.get_reader(path) as reader:
        return np.stack([np.asarray(frame) for frame in reader]), reader.get_meta_data()


def write_mp4(frames: list[np.ndarray], path: Path, *settings) -> Path:
    pytest.importorskip("imageio_ffmpeg")
    pytest.importorskip("imageio.v2")
    write_animation(frames, path, *settings)
    return path


def test_a_gif_runs_forward_and_back_in_the_colours_written(tmp_path):
    path = tmp_path / "edit.gif"
    write_animation([flat(colour) for colour in COLOURS], path, 10.0, hold=3)
    frames, durations = read_gif(path)
    there_and_back = [COLOURS[i] for i in (0, 1, 2, 3, 2, 1)]
    assert np.array_equal(frames, np.stack([flat(colour) for colour in there_and_back]))
    assert durations == [300, 100, 100, 300, 100, 100]


def test_a_gif_loops_for_ever(tmp_path):
    write_animation([flat(colour) for colour in COLOURS], tmp_path / "edit.gif")
    with Image.open(tmp_path / "edit.gif") as gif:
        assert gif.info["loop"] == 0


def test_up_to_256_colours_per_frame_are_kept_exactly(tmp_path):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (256, 3), np.uint8)[rng.integers(0, 256, (96, 96))] for _ in range(3)]
    write_animation(frames, tmp_path / "edit.gif")
    assert np.array_equal(read_gif(tmp_path / "edit.gif")[0], np.stack([frames[i] for i in (0, 1, 2, 1)]))


def test_a_gif_of_many_colours_is_close_and_not_dithered(tmp_path):
    frames = [smooth(shift) for shift in (0.0, 0.3, 0.6)]
    assert all(len(np.unique(frame.reshape(-1, 3), axis=0)) > 1000 for frame in frames)
    write_animation(frames, tmp_path / "edit.gif")
    read, _ = read_gif(tmp_path / "edit.gif")
    error = read[:3].astype(float) - np.stack(frames)
    assert np.sqrt(np.square(error).mean()) < 4
    assert np.abs(error).max() < 20
    steps = np.abs(np.diff(read[0].astype(float), axis=1))
    assert (steps == 0).all(axis=-1).mean() > 0.5  # dithering would alternate between neighbours


@pytest.mark.parametrize("frames_per_second", [1, 7, 8.0, 12.5, 24, 30, 50])
def test_a_gif_lasts_as_long_as_its_frames_to_a_hundredth_of_a_second(tmp_path, frames_per_second):
    frames = [flat((value, 0, 255 - value), 96, 96) for value in range(0, 250, 10)]
    write_animation(frames, tmp_path / "edit.gif", frames_per_second, hold=2)
    _, durations = read_gif(tmp_path / "edit.gif")
    assert len(durations) == 25 + 23
    assert sum(durations) == pytest.approx(1000 * (25 + 2 + 23) / frames_per_second, abs=5)
    assert min(durations) >= 20


def test_equal_frames_last_as_long_as_written_apart(tmp_path):
    red, green = flat(COLOURS[0]), flat(COLOURS[1])
    write_animation([red, red, red, green], tmp_path / "edit.gif", 10, hold=1)
    frames, durations = read_gif(tmp_path / "edit.gif")
    assert np.array_equal(frames, np.stack([red, green, red]))
    assert durations == [300, 100, 200]


@pytest.mark.parametrize("n_frames", [1, 5])
def test_a_gif_that_stands_still_lasts_as_long_as_its_frames(tmp_path, n_frames):
    write_animation([flat(COLOURS[0])] * n_frames, tmp_path / "edit.gif", 10, hold=1)
    frames, durations = read_gif(tmp_path / "edit.gif")
    assert np.array_equal(frames, flat(COLOURS[0])[None])
    assert durations == [100 * max(1, 2 * n_frames - 2)]


@pytest.mark.parametrize(("side", "factor"), [(32, 3), (40, 3), (95, 2), (96, 1), (200, 1)])
def test_small_pictures_are_enlarged_by_a_whole_factor_without_smoothing(tmp_path, side, factor):
    rng = np.random.default_rng(side)
    picture = rng.integers(0, 256, (100, 3), np.uint8)[rng.integers(0, 100, (side, side + 5))]
    write_animation([picture, 255 - picture], tmp_path / "edit.gif")
    frames, _ = read_gif(tmp_path / "edit.gif")
    assert np.array_equal(frames[0], np.kron(picture, np.ones((factor, factor, 1), dtype=np.uint8)))


def test_an_mp4_runs_forward_and_back_in_close_colours(tmp_path):
    path = write_mp4([flat(colour) for colour in COLOURS], tmp_path / "edit.mp4", 10.0, 3)
    frames, told = read_mp4(path)
    expected = [COLOURS[i] for i in (0, 0, 0, 1, 2, 3, 3, 3, 2, 1)]
    assert frames.shape == (10, 100, 120, 3)
    assert np.abs(frames.astype(int) - np.array(expected)[:, None, None]).max() <= 8
    assert told["codec"] == "h264"
    assert told["pix_fmt"].startswith("yuv420p")
    assert "bt709" in told["pix_fmt"]
    assert told["fps"] == pytest.approx(10)
    assert told["duration"] == pytest.approx(1.0, abs=0.02)


def test_an_mp4_of_many_colours_is_close(tmp_path):
    frames = [smooth(shift) for shift in (0.0, 0.3, 0.6)]
    read, _ = read_mp4(write_mp4(frames, tmp_path / "edit.mp4", 8, 1))
    assert np.sqrt(np.square(read[:3].astype(float) - np.stack(frames)).mean()) < 5


@pytest.mark.parametrize(("height", "width"), [(101, 120), (100, 121), (101, 121)])
def test_odd_sides_of_an_mp4_are_padded_and_not_scaled(tmp_path, height, width):
    picture = smooth(0.2, height, width)
    stripes = np.where((np.arange(width) // 4 % 2)[None, :, None], picture // 2, picture)
    read, _ = read_mp4(write_mp4([stripes, stripes], tmp_path / "edit.mp4", 8, 1))
    assert read.shape == (2, height + height % 2, width + width % 2, 3)
    assert np.abs(read[0, :height, :width].astype(float) - stripes).mean() < 8
    assert np.abs(read[0, -1].astype(float) - read[0, height - 1]).mean() < 8
    assert np.abs(read[0, :, -1].astype(float) - read[0, :, width - 1]).mean() < 8


def test_an_mp4_may_be_one_small_picture(tmp_path):
    read, _ = read_mp4(write_mp4([flat(COLOURS[0], 28, 28)], tmp_path / "edit.MP4", 8, 2))
    assert read.shape == (2, 112, 112, 3)


def test_an_mp4_starts_before_it_is_loaded(tmp_path):
    content = write_mp4([flat(colour) for colour in COLOURS], tmp_path / "edit.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_without_imageio_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UserError, match=r"pip install 'dmt\[animation\]'"):
        write_animation([flat(COLOURS[0])], tmp_path / "edit.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["edit.avi", "edit", "edit.png"])
def test_an_unknown_suffix_is_a_user_error(tmp_path, name):
    with pytest.raises(UserError, match=rf"must end in \.gif or \.mp4, got .*{name}"):
        write_animation([flat(COLOURS[0])], tmp_path / name)


@pytest.mark.parametrize("value", [0, -8, 0.5, 51, float("nan"), float("inf"), "8", None, True])
def test_a_rate_out_of_range_is_a_user_error(tmp_path, value):
    with pytest.raises(UserError, match=f"frames_per_second must be a number from 1 to 50, .*got {value}"):
        write_animation([flat(COLOURS[0])], tmp_path / "edit.gif", value)


@pytest.mark.parametrize("value", [0, -1, 101, 2.5, "4", None])
def test_a_hold_out_of_range_is_a_user_error(tmp_path, value):
    with pytest.raises(UserError, match=f"hold must be a whole number from 1 to 100, .*got {value}"):
        write_animation([flat(COLOURS[0])], tmp_path / "edit.gif", hold=value)
