"""Tasks without labels: towards one person, from grey to colour."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from dmt.data import AttributeTask, ColorizeTask, EditData, ImageError, PersonTask
from dmt.data.images import chroma, desaturated, to_pixels
from dmt.errors import UserError

SIDE = 8


def picture(seed: int, colour: bool = True) -> torch.Tensor:
    """Noise, or grey noise."""
    channels = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(int(seed)))
    return channels if colour else channels[:1].expand(3, -1, -1)


class Gallery:
    """A catalog in memory: one group per picture, some pictures grey, some broken."""

    title, fingerprint, is_validation, kinds = "gallery", "gallery", None, {}
    labels = ()

    def __init__(self, groups, grey=(), broken=()):
        self.groups = list(groups)
        self.names = [f"{group}_{i:04d}" for i, group in enumerate(self.groups)]
        self.grey, self.broken = set(grey), set(broken)

    def read(self, index, size):
        if index in self.broken:
            raise ImageError(f"{self.names[index]} does not decode")
        return torch.nn.functional.interpolate(picture(index, index not in self.grey)[None], (size, size))[0]

    def read_named(self, name, size):
        return self.read(self.index(name), size)

    def index(self, name):
        return self.names.index(name) if name in self.names else None

    def group(self, name):
        return self.groups[self.index(name)] if name in self.names else None


# PersonTask

CROWD = Gallery(["George_W_Bush"] * 12 + ["Ann_Smith"] * 3 + [f"Somebody_{i}" for i in range(40)])
BUSH = set(range(12))


def people(task: PersonTask, catalog: Gallery = CROWD, **options) -> EditData:
    return EditData(catalog, task, image_size=SIDE, **options)


def positive(scores: np.ndarray) -> set[int]:
    return set(np.flatnonzero(scores > 0).tolist())


@pytest.mark.parametrize("name", ["George W Bush", "George_W_Bush", "george w bush", "GEORGE_w Bush"])
def test_a_person_is_found_however_the_name_is_written(name):
    source, target = PersonTask(name).scores(CROWD)
    assert positive(target) == BUSH
    assert positive(source) == set(range(12, 55))


def test_a_person_with_too_few_pictures_is_an_error_with_both_numbers():
    with pytest.raises(UserError, match="there are 3 pictures of ann smith, fewer than the 10") as caught:
        PersonTask("ann smith").scores(CROWD)
    assert "task.least" in str(caught.value)
    assert positive(PersonTask("ann smith", least=3).scores(CROWD)[1]) == {12, 13, 14}
    with pytest.raises(UserError, match="fewer than the 4"):
        PersonTask("ann smith", least=4).scores(CROWD)


@pytest.mark.parametrize("name", ["Gorge W Bush", "george_bush"])
def test_an_unknown_person_is_an_error_that_suggests_a_known_one(name):
    with pytest.raises(UserError, match=f"no pictures of '{name}'; did you mean 'George W Bush'"):
        PersonTask(name).scores(CROWD)


@pytest.mark.parametrize("name", [None, ""])
def test_no_person_is_an_error_that_shows_how_to_name_one(name):
    with pytest.raises(UserError, match='needs a name: person="George W Bush"'):
        PersonTask(name)


def test_there_are_as_many_pictures_of_others_as_of_the_person():
    data = people(PersonTask("George W Bush"))
    assert set(data.target.tolist()) == BUSH
    assert len(set(data.source.tolist())) == 12
    assert not set(data.source.tolist()) & BUSH


def test_the_sets_are_no_larger_than_asked_for():
    data = people(PersonTask("George W Bush"), set_size=5)
    assert (len(data.source), len(data.target)) == (5, 5)


def test_a_person_who_is_most_of_the_catalog_gets_as_many_pictures_as_there_are_of_others():
    catalog = Gallery(["Ann"] * 30 + [f"Somebody_{i}" for i in range(12)])
    data = people(PersonTask("ann"), catalog, images=["Somebody_0_0030"])
    assert set(data.source.tolist()) == set(range(31, 42))
    assert len(data.target) == 11
    assert set(data.target.tolist()) <= set(range(30))


def test_the_pictures_of_an_inputs_own_person_are_in_neither_set():
    for seed in range(20):
        data = people(PersonTask("George W Bush", seed=seed), images=["Ann_Smith_0013"])
        assert not set(data.source.tolist()) & (BUSH | {12, 13, 14})
        assert len(data.source) == len(data.target) == 12


def test_inputs_that_are_chosen_are_of_others_and_in_neither_set():
    data = people(PersonTask("George W Bush"), images=4)
    groups = {CROWD.group(name) for name in data.inputs}
    assert len(groups) == len(data.inputs) == 4
    assert "George_W_Bush" not in groups
    assert not groups & {CROWD.groups[i] for i in [*data.source, *data.target]}


def test_the_others_are_a_random_choice_that_the_seed_decides():
    def drawn(seed):
        return set(people(PersonTask("George W Bush", seed=seed), images=["Ann_Smith_0013"]).source.tolist())

    assert drawn(1) == drawn(1)
    draws = [drawn(seed) for seed in range(60)]
    counts = Counter(i for draw in draws for i in draw)
    assert set(counts) == set(range(15, 55))
    expected, deviation = 60 * 12 / 40, (60 * 0.3 * 0.7) ** 0.5
    assert all(abs(count - expected) < 5 * deviation for count in counts.values())


def test_a_person_has_a_title_and_no_labels():
    task = PersonTask("George W Bush")
    assert task.title == "towards George W Bush"
    assert list(task.labels()) == []
    assert people(task).pool.own_labels == []


# ColorizeTask

GREY, BROKEN = set(range(0, 120, 4)), {1, 2}
ALBUM = Gallery([f"Somebody_{i}" for i in range(120)], grey=GREY, broken=BROKEN)


def colours(task: ColorizeTask, catalog: Gallery = ALBUM, **options) -> EditData:
    return EditData(catalog, task, image_size=SIDE, **options)


def test_desaturated_pictures_and_those_in_colour_have_nothing_in_common_and_none_was_grey():
    for seed in range(5):
        data = colours(ColorizeTask(source_size=20, target_size=30, spare=30, seed=seed), images=3)
        source, target = set(data.source.tolist()), set(data.target.tolist())
        assert not source & target
        assert not (source | target) & (GREY | BROKEN)
        assert (len(source), len(target)) == (20, 30)
        assert len(data.inputs) == 3
        assert not {ALBUM.index(name) for name in data.inputs} & (source | target | GREY | BROKEN)


def test_no_picture_scores_on_both_sides():
    source, target = ColorizeTask(source_size=40, target_size=40, spare=20).scores(ALBUM)
    assert not positive(source) & positive(target)


def test_a_small_catalog_is_halved():
    catalog = Gallery([f"Somebody_{i}" for i in range(30)])
    source, target = ColorizeTask().scores(catalog)
    assert len(positive(source)) == len(positive(target)) == 15
    assert positive(source) | positive(target) == set(range(30))


def test_the_seed_decides_which_pictures_are_taken():
    def sets(seed):
        data = colours(ColorizeTask(source_size=10, target_size=10, spare=10, seed=seed), images=1)
        return data.source.tolist(), data.target.tolist(), data.inputs

    assert sets(3) == sets(3)
    assert sets(3) != sets(4)


def test_what_counts_as_grey_is_set_by_its_mean_chroma():
    class Tinted(Gallery):
        def read(self, index, size):
            return torch.tensor([1.0, 1 - index / 40, 1 - index / 40])[:, None, None].expand(3, size, size)

    catalog = Tinted([f"Somebody_{i}" for i in range(40)])
    chromas = [chroma(catalog.read(i, SIDE)) for i in range(40)]
    for least in (5.0, 20.0):
        sides = ColorizeTask(least_chroma=least, spare=0, source_size=20, target_size=20).scores(catalog)
        assert positive(sides[0]) | positive(sides[1]) == {i for i in range(40) if chromas[i] >= least}


def test_inputs_are_served_grey_and_the_catalog_in_colour():
    data = colours(ColorizeTask(source_size=10, target_size=10), images=["Somebody_5_0005", "Somebody_7_0007"])
    (batch,) = data.predict_dataloader()
    assert batch.names == ["Somebody_5_0005", "Somebody_7_0007"]
    for image, index in zip(batch.images, (5, 7), strict=True):
        luma = sum(weight * channel for weight, channel in zip((0.299, 0.587, 0.114), picture(index), strict=True))
        torch.testing.assert_close(image, luma.expand(3, -1, -1))
    (whole,) = data.some_dataloader([5])
    assert torch.equal(whole.images[0], picture(5))


def test_inputs_of_other_tasks_stay_in_colour():
    class Smiling(Gallery):
        def scores(self, label):
            return np.where(np.arange(len(self.names)) % 2, 1.0, -1.0)

    data = EditData(Smiling("abcdefghij"), AttributeTask("Smiling"), image_size=SIDE, images=["f_0005"])
    (batch,) = data.predict_dataloader()
    assert torch.equal(batch.images[0], picture(5))


@pytest.mark.parametrize("side", ["source_size", "target_size"])
@pytest.mark.parametrize("size", [1, 0, -3, 2.5, None])
def test_a_size_that_is_no_whole_number_above_one_is_an_error_that_names_it(side, size):
    with pytest.raises(UserError, match=rf"task\.{side} must be a whole number above 1, got {size}"):
        ColorizeTask(**{side: size})


# Grey and colour


def test_desaturated_is_pillows_conversion_to_grey():
    image = torch.from_numpy(to_pixels(torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(0))))
    grey = np.asarray(Image.fromarray(image.numpy()).convert("L"), dtype=float)
    found = 255 * desaturated(image.permute(2, 0, 1) / 255)
    assert found.shape == (3, 40, 50)
    np.testing.assert_allclose(found[0], grey, atol=0.5 + 0.01)  # Pillow rounds, and its weights have 16 bits
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_a_grey_picture_is_its_own_desaturated_copy_and_the_input_is_left_alone():
    grey, colour = picture(0, colour=False), picture(1)
    before = colour.clone()
    torch.testing.assert_close(desaturated(grey), grey)
    result = desaturated(colour)
    result[0] = 0  # no view of one channel
    assert result[1].min() > 0
    assert torch.equal(colour, before)


def lab_chroma_of_red() -> float:
    """From the definitions: IEC 61966-2-1 red in XYZ, white D65, CIE 15 for a and b."""
    x, y, z = 0.4124 / 0.9505, 0.2126, 0.0193 / 1.0890
    assert z > (6 / 29) ** 3  # all in the range of the cube root
    a, b = 500 * (x ** (1 / 3) - y ** (1 / 3)), 200 * (y ** (1 / 3) - z ** (1 / 3))
    return (a * a + b * b) ** 0.5


def test_chroma_by_the_definition_of_lab():
    red = torch.zeros(3, SIDE, SIDE)
    red[0] = 1
    assert lab_chroma_of_red() == pytest.approx(104.55, abs=0.05)
    assert chroma(red) == pytest.approx(lab_chroma_of_red(), abs=0.1)
    red[:, : SIDE // 4] = 0.5  # a quarter of the rows is grey
    assert chroma(red) == pytest.approx(0.75 * lab_chroma_of_red(), abs=0.1)


@pytest.mark.parametrize("value", [0.0, 0.2, 0.7, 1.0])
def test_the_chroma_of_grey_is_zero(value):
    assert chroma(torch.full((3, SIDE, SIDE), value)) == pytest.approx(0, abs=0.01)
    assert chroma(desaturated(picture(3))) == pytest.approx(0, abs=0.01)
