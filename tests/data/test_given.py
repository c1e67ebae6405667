"""Pictures that are handed over: the same as files of the same pixels, under names of their own."""

import numpy as np
import pytest
import torch
from PIL import Image

from dmt.data import (
    CentreFraming,
    ClassTask,
    Digits,
    EditData,
    Folder,
    Given,
    ImageError,
    Serving,
    finished,
    read_image,
)
from dmt.data.images import desaturated
from dmt.errors import UserError

SIZE = 30
WIDE = np.random.default_rng(0).integers(0, 256, (SIZE, 40, 3), dtype=np.uint8)
TASK = ClassTask("cat", "dog")


@pytest.fixture
def folder(tmp_path, save_picture):
    for seed in range(5):
        save_picture(tmp_path / f"pets/cat/{seed}.png", seed)
        save_picture(tmp_path / f"pets/dog/{seed}.png", 10 + seed)
    return Folder(tmp_path / "pets")


def served(catalog, *images, size=SIZE):
    """What is served of some pictures, ``(n, 3, size, size)``."""
    batches = EditData(catalog, TASK, images=images, image_size=size).predict_dataloader()
    return torch.cat([batch.images for batch in batches])


def channels_first(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)


# PIL images

PALETTE = Image.fromarray(WIDE).convert("P", palette=Image.Palette.ADAPTIVE)
BANDS = Image.fromarray(WIDE)
RGBA = Image.merge("RGBA", [*BANDS.split(), BANDS.getchannel("G")])


@pytest.mark.parametrize(
    ("image", "suffix"),
    [
        (BANDS, "png"),
        (BANDS.convert("L"), "png"),
        (BANDS.convert("1"), "png"),
        (PALETTE, "png"),
        (RGBA, "png"),
        (RGBA.convert("LA"), "png"),
        (BANDS.convert("CMYK"), "tif"),
        (Image.fromarray((WIDE[:, :, 0].astype(np.uint16) << 8) + WIDE[:, :, 1]), "png"),
    ],
)
@pytest.mark.parametrize("size", [SIZE, 17])
def test_a_pil_image_is_served_as_a_file_of_it_is(folder, tmp_path, image, suffix, size):
    image.save(tmp_path / f"picture.{suffix}")
    assert served(folder, image, size=size)[0].equal(read_image(tmp_path / f"picture.{suffix}", size))


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 51, (0.2, 0.2, 0.2)),
        ("RGBA", (255, 0, 0, 51), (1, 0.8, 0.8)),  # a fifth of red on white
        ("CMYK", (0, 255, 255, 0), (1, 0, 0)),
    ],
)
def test_colours_by_hand(folder, mode, colour, expected):
    found = served(folder, Image.new(mode, (8, 8), colour), size=4)[0]
    np.testing.assert_allclose(found, np.broadcast_to(np.reshape(expected, (3, 1, 1)), (3, 4, 4)), atol=0.6 / 255)


@pytest.mark.parametrize("palette", [[255, 0, 0, 0, 0, 255], [0, 255, 0, 10, 20, 30]])
def test_a_palette_is_looked_up(folder, palette):
    image = Image.new("P", (8, 8))
    image.putpalette(palette)
    image.paste(1, (4, 0, 8, 8))
    found = served(folder, image, size=8)[0] * 255
    assert found[:, 0, 0].round().tolist() == palette[:3]
    assert found[:, 0, 7].round().tolist() == palette[3:]


def test_a_photo_that_was_opened_is_turned_upright_as_its_file_is(folder, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that row 0 is at the right
    Image.fromarray(np.ascontiguousarray(WIDE[:, ::-1].swapaxes(0, 1))).save(tmp_path / "photo.png", exif=exif)
    with Image.open(tmp_path / "photo.png") as photo:
        found = served(folder, photo)
    torch.testing.assert_close(found[0], channels_first(WIDE[:, 5:35]), rtol=0, atol=1e-7)


def test_a_photo_may_be_closed_once_it_is_handed_over(folder, tmp_path):
    Image.fromarray(WIDE).save(tmp_path / "photo.png")
    with Image.open(tmp_path / "photo.png") as photo:
        data = EditData(folder, TASK, images=[photo], image_size=SIZE)
    (batch,) = data.predict_dataloader()
    assert batch.images[0].equal(read_image(tmp_path / "photo.png", SIZE))


# Tensors


def test_a_tensor_of_the_right_size_is_used_bit_for_bit(folder):
    picture = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    assert served(folder, picture)[0].equal(picture)
    assert not served(folder, picture, size=SIZE - 1)[0].equal(picture[:, 1:, 1:])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_become_single_precision(folder, dtype):
    picture = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    found = served(folder, picture)[0]
    assert found.equal(picture.detach().float())
    assert not found.requires_grad


@pytest.mark.parametrize("size", [SIZE, 17, 64])
def test_a_tensor_of_another_size_is_cropped_and_resized_as_a_file_with_the_same_pixels_is(folder, tmp_path, size):
    Image.fromarray(WIDE).save(tmp_path / "wide.png")
    assert served(folder, channels_first(WIDE), size=size)[0].equal(read_image(tmp_path / "wide.png", size))


def test_values_between_those_of_a_file_are_rounded_to_the_nearest(folder):
    values = torch.tensor([0.4, 0.6, 254.4, 254.6]) / 255
    for value, nearest in zip(values, (0, 1, 254, 255), strict=True):
        found = served(folder, value.expand(3, 8, 8), size=4)[0] * 255
        torch.testing.assert_close(found, torch.full((3, 4, 4), float(nearest)))


def test_a_grey_tensor_has_three_channels_alike(folder, tmp_path):
    grey = torch.rand(1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    found = served(folder, grey)[0]
    assert found.shape == (3, SIZE, SIZE)
    assert all(channel.equal(grey[0]) for channel in found)
    Image.fromarray(WIDE[:, :, 0]).save(tmp_path / "grey.png")
    assert served(folder, channels_first(WIDE[:, :, :1]))[0].equal(read_image(tmp_path / "grey.png", SIZE))


def test_a_batch_is_as_many_pictures(folder):
    batch = torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    data = EditData(folder, TASK, images=batch, image_size=SIZE)
    assert data.inputs == ["image_1", "image_2", "image_3", "image_4"]
    assert served(folder, *batch).equal(batch)


# Arrays


@pytest.mark.parametrize("pixels", [WIDE, WIDE[:, :, 0], np.asarray(RGBA), WIDE[:, ::-1]])
@pytest.mark.parametrize("size", [SIZE, 17])
def test_an_array_of_bytes_is_served_as_a_file_of_it_is(folder, tmp_path, pixels, size):
    Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / "picture.png")
    assert served(folder, pixels, size=size)[0].equal(read_image(tmp_path / "picture.png", size))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ">f4"])
def test_an_array_of_floats_is_used_as_it_is_where_it_has_the_right_size(folder, dtype):
    pixels = np.random.default_rng(0).random((SIZE, SIZE, 3)).astype(dtype)
    grey = pixels[:, :, 0]
    grey.setflags(write=False)
    colour, without = served(folder, pixels, grey)
    np.testing.assert_array_equal(colour, pixels.astype(np.float32).transpose(2, 0, 1))
    np.testing.assert_array_equal(without, np.stack([grey.astype(np.float32)] * 3))


@pytest.mark.parametrize("pixels", [WIDE, WIDE[:, :, 0]])
def test_an_array_of_floats_of_another_size_is_served_as_its_bytes_are(folder, pixels):
    assert served(folder, pixels.astype(np.float32) / 255).equal(served(folder, pixels))


# What is no picture

WRONG = [
    (torch.rand(3, 4, 4) * 255, r"must have values in \[0, 1\], got some from .* to 2\d\d"),
    (torch.rand(3, 4, 4) - 0.9, r"must have values in \[0, 1\], got some from -0\.\d+ to"),
    (torch.full((3, 4, 4), torch.nan), r"must have values in \[0, 1\], got some from nan to nan"),
    (torch.tensor([0.5, torch.nan, 1.0]).expand(3, 3, 3), r"must have values in \[0, 1\]"),
    (torch.full((3, 4, 4), torch.inf), r"must have values in \[0, 1\], got some from inf to inf"),
    (torch.randint(2, 256, (3, 4, 4), dtype=torch.uint8), r"must have values in \[0, 1\]"),
    (torch.zeros(2, 3, 4, 4), r"a tensor must be \(3, H, W\) .* got \(2, 3, 4, 4\)"),
    (torch.zeros(4, 4, 3), r"a tensor must be \(3, H, W\) .* got \(4, 4, 3\)"),
    (torch.zeros(4, 4), r"a tensor must be \(3, H, W\) .* got \(4, 4\)"),
    (torch.zeros(0, 4, 4), r"a tensor must be \(3, H, W\) .* got \(0, 4, 4\)"),
    (torch.zeros(3, 0, 4), r"a tensor must be \(3, H, W\) .* got \(3, 0, 4\)"),
    (torch.tensor(0.5), r"a tensor must be \(3, H, W\) .* got \(\)"),
    (np.full((4, 4, 3), 200.0), r"must have values in \[0, 1\], got some from 200 to 200"),
    (np.full((4, 4), np.nan), r"must have values in \[0, 1\], got some from nan to nan"),
    (np.zeros((1, 4, 4, 3)), r"an array must be \(H, W, 3\) or \(H, W\), .* got \(1, 4, 4, 3\) of float64"),
    (np.zeros((1, 4, 4, 3), np.uint8), r"an array must be \(H, W, 3\) .* got \(1, 4, 4, 3\) of uint8"),
    (np.zeros((3, 4, 5), np.uint8), r"an array must be \(H, W, 3\) .* got \(3, 4, 5\) of uint8"),
    (np.zeros((4, 4, 1), np.uint8), r"an array must be \(H, W, 3\) .* got \(4, 4, 1\) of uint8"),
    (np.zeros((3, 4, 4)), r"an array must be \(H, W, 3\) .* got \(3, 4, 4\) of float64"),
    (np.zeros((4, 4, 3), int), r"an array must be \(H, W, 3\) .* got \(4, 4, 3\) of int64"),
    (np.zeros((4, 4), bool), r"an array must be \(H, W, 3\) .* got \(4, 4\) of bool"),
    (np.zeros((0, 4, 3)), r"an array must be \(H, W, 3\) .* got \(0, 4, 3\) of float64"),
    (np.zeros((0, 0), np.uint8), r"an array must be \(H, W, 3\) .* got \(0, 0\) of uint8"),
    (np.zeros(7), r"an array must be \(H, W, 3\) .* got \(7,\) of float64"),
    (Image.new("RGB", (0, 5)), "has no pixels: 0 x 5"),
    (7, "a picture must be a name, a path, a PIL image, a tensor .* got <class 'int'>"),
    (None, "a picture must be .* got <class 'NoneType'>"),
    ([["a.png"]], "a picture must be .* got <class 'list'>"),
    (b"GIF89a", "a picture must be .* got <class 'bytes'>"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_what_is_no_picture_is_an_error_of_one_line_that_says_what_one_is(folder, wrong, message):
    with pytest.raises(UserError, match=message) as caught:
        EditData(folder, TASK, images=[torch.zeros(3, 4, 4), wrong], image_size=SIZE)
    assert "\n" not in str(caught.value)


def test_a_path_that_does_not_exist_is_an_error_that_names_it(folder, tmp_path):
    for asked in (str(tmp_path / "missing.png"), tmp_path / "missing.png"):
        with pytest.raises(UserError, match=r"there is no image '.*missing\.png'"):
            EditData(folder, TASK, images=[torch.zeros(3, 4, 4), asked], image_size=SIZE)


def test_a_photo_that_does_not_decode_is_an_error_before_any_work(folder, tmp_path):
    Image.fromarray(WIDE).save(tmp_path / "photo.jpg")
    (tmp_path / "photo.jpg").write_bytes((tmp_path / "photo.jpg").read_bytes()[:-400])
    with Image.open(tmp_path / "photo.jpg") as photo, pytest.raises(ImageError, match="does not decode"):
        EditData(folder, TASK, images=[photo], image_size=SIZE)


@pytest.mark.parametrize("alone", ["cat/0.png", Image.new("RGB", (8, 8))])
def test_a_picture_without_a_list_around_it_is_an_error_that_says_so(folder, alone):
    with pytest.raises(UserError, match="images must be a list"):
        EditData(folder, TASK, images=alone, image_size=SIZE)


# Names and places


def test_given_pictures_have_names_of_their_own_and_all_come_in_the_order_asked_for(folder, tmp_path, save_picture):
    path = save_picture(tmp_path / "friend.png", 77)
    tensor, array = torch.rand(3, SIZE, SIZE), WIDE
    images = ["cat/3.png", tensor, path, array, Image.fromarray(WIDE), "cat/1.png"]
    data = EditData(folder, TASK, images=images, image_size=SIZE, serving=Serving(edit_batch_size=4))
    names = ["cat/3.png", "image_2", str(path), "image_4", "image_5", "cat/1.png"]
    assert data.inputs == names
    batches = list(data.predict_dataloader())
    assert [batch.names for batch in batches] == [names[:4], names[4:]]
    assert [batch.indices for batch in batches] == [[0, 1, 2, 3], [4, 5]]
    found = torch.cat([batch.images for batch in batches])
    assert found[0].equal(folder.read(3, SIZE))
    assert found[1].equal(tensor)
    assert found[2].equal(read_image(path, SIZE))
    torch.testing.assert_close(found[3], channels_first(WIDE[:, 5:35]), rtol=0, atol=1e-7)
    assert found[4].equal(found[3])
    assert found[5].equal(folder.read(1, SIZE))


def test_given_pictures_are_in_neither_set_and_take_nobody_out_of_them(folder, tmp_path, save_picture):
    outside = EditData(folder, TASK, images=[str(save_picture(tmp_path / "friend.png", 77))], image_size=SIZE)
    given = EditData(folder, TASK, images=[channels_first(WIDE), WIDE], image_size=SIZE)
    assert given.source.tolist() == outside.source.tolist() == [0, 1, 2, 3, 4]
    assert given.target.tolist() == outside.target.tolist() == [5, 6, 7, 8, 9]
    assert list(given.catalog.names) == list(folder.names)
    assert [i for batch in given.all_dataloader() for i in batch.indices] == list(range(10))
    for name in given.inputs:
        assert given.catalog.index(name) is None
        assert given.catalog.group(name) is None


def test_with_given_pictures_a_catalog_is_what_it_was_otherwise(folder):
    given = Given.of(folder, [WIDE, "cat/2.png"])
    assert given.asked == ["image_1", "cat/2.png"]
    for attribute in ("title", "names", "groups", "labels", "fingerprint", "is_validation", "kinds"):
        assert getattr(given, attribute) == getattr(folder, attribute)
    assert given.index("cat/2.png") == 2
    assert given.group("cat/2.png") == folder.group("cat/2.png")
    assert given.read(7, 9).equal(folder.read(7, 9))
    assert given.scores("dog").tolist() == folder.scores("dog").tolist()


def test_a_picture_of_the_catalog_that_is_handed_over_gives_what_its_name_gives():
    digits = Digits()
    data = EditData(digits, ClassTask("3", "8"), images=["digit_0003", digits.read(3, 32)], image_size=32)
    (batch,) = data.predict_dataloader()
    assert batch.images[0].equal(batch.images[1])


def test_given_pictures_are_seen_as_the_task_sees_its_inputs(folder):
    class Grey(ClassTask):
        source_view = staticmethod(desaturated)

    (batch,) = EditData(folder, Grey("cat", "dog"), images=[WIDE], image_size=SIZE).predict_dataloader()
    expected = served(folder, WIDE)[0]
    luma = sum(weight * channel for weight, channel in zip((0.299, 0.587, 0.114), expected, strict=True))
    torch.testing.assert_close(batch.images[0], luma.expand(3, -1, -1))


def test_a_given_picture_comes_back_at_its_own_size(folder):
    picture = torch.rand(3, 2 * SIZE, 3 * SIZE, generator=torch.Generator().manual_seed(0))
    data = EditData(folder, TASK, images=[picture], image_size=SIZE, framing=CentreFraming())
    (batch,) = data.predict_dataloader()
    patch = data.patch("image_1", batch.images[0], 1 - batch.images[0])
    photograph = finished([patch])
    assert (photograph.height, photograph.width) == (2 * SIZE, 3 * SIZE)
    assert patch.of == "image_1"


def test_processes_serve_given_pictures_too(folder):
    picture = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    serving = Serving(num_workers=1)
    data = EditData(folder, TASK, images=[picture, WIDE, BANDS], image_size=SIZE, serving=serving)
    (batch,) = data.predict_dataloader()
    assert batch.images.equal(served(folder, picture, WIDE, BANDS))
