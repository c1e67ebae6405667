import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from dmt.data import (
    LFW,
    AttributeTask,
    ClassTask,
    Digits,
    EditData,
    Folder,
    ImageError,
    LFWAttributeSplits,
    Reserved,
    Serving,
    Sets,
)
from dmt.errors import UserError


class Faces:
    """A catalog in memory: one picture per group letter, scored for ``Happy`` and ``Sad``."""

    title, fingerprint, is_validation, kinds = "faces", "faces", None, {}
    labels = ("Happy", "Sad")

    def __init__(self, groups, happy, sad=None, broken=()):
        self.groups = list(groups)
        self.names = [f"{group}_{i}" for i, group in enumerate(self.groups)]
        happy = np.array(happy, dtype=float)
        self._scores = {"Happy": happy, "Sad": -happy if sad is None else np.array(sad, dtype=float)}
        self.broken = broken

    def read(self, index, size):
        if index in self.broken:
            raise ImageError(f"{self.names[index]} does not decode")
        return torch.full((3, size, size), index / 100)

    def read_named(self, name, size):
        return self.read(self.index(name), size)

    def index(self, name):
        return self.names.index(name) if name in self.names else None

    def group(self, name):
        return self.groups[self.names.index(name)] if name in self.names else None

    def scores(self, label):
        return self._scores[label]


TO_HAPPY = AttributeTask("Happy", source="Sad")
MANY = Faces("abcdefghijkl", happy=[1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6])


@st.composite
def crowds(draw):
    """Some pictures of a few people, and which of them to edit."""
    n = draw(st.integers(6, 30))
    scores = st.lists(st.integers(-4, 4), min_size=n, max_size=n)
    catalog = Faces(draw(st.lists(st.sampled_from("abcdefghij"), min_size=n, max_size=n)), draw(scores), draw(scores))
    asked = draw(st.lists(st.sampled_from(catalog.names), max_size=3))
    return catalog, asked


@settings(max_examples=200)
@given(crowds(), st.integers(1, 3), st.integers(2, 40), st.integers(0, 3))
def test_no_picture_of_an_edited_person_is_in_a_set_and_no_picture_is_in_both(crowd, n_images, set_size, seed):
    catalog, asked = crowd
    try:
        data = EditData(
            catalog, TO_HAPPY, images=asked or n_images, image_size=8, set_size=set_size, serving=Serving(seed=seed)
        )
    except UserError:
        reject()  # a side without pictures
    source, target = set(data.source), set(data.target)
    edited = {catalog.groups[catalog.index(name)] for name in data.inputs}
    sad, happy = catalog.scores("Sad"), catalog.scores("Happy")
    assert not source & target
    assert not {i for i in source | target if sad[i] > 0 and happy[i] > 0}
    assert not edited & {catalog.groups[i] for i in source | target}
    assert all(sad[i] > 0 for i in source)
    assert all(happy[i] > 0 for i in target)
    assert 2 <= len(source) <= set_size
    assert 2 <= len(target) <= set_size
    for allowed, chosen, scores in zip(data.pool.sides, (source, target), (sad, happy), strict=True):
        assert chosen <= set(np.flatnonzero(allowed > 0))
        for i in np.flatnonzero(allowed > 0):
            assert scores[i] == allowed[i]
            assert catalog.groups[i] not in edited
            assert not (sad[i] > 0 and happy[i] > 0)
    if asked:
        assert data.inputs == asked


def test_a_pool_knows_what_the_task_is_about_and_what_it_is_balanced_by():
    catalog = Faces("abcdefghijkl", happy=[1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6])
    catalog._scores["Tall"] = np.array([1.0, -1] * 6)
    data = EditData(catalog, AttributeTask("Happy", source="Sad", balance=["Tall"]), images=["a_0"])
    assert data.pool.own_labels == ["Happy", "Sad"]
    assert list(data.pool.balance) == ["Tall"]
    assert [catalog._scores["Tall"][side].sum() for side in (data.source, data.target)] == [-1, -1]
    assert EditData(catalog, TO_HAPPY, images=["a_0"]).pool.balance == ()


def test_the_surest_pictures_make_the_sets():
    data = EditData(MANY, TO_HAPPY, images=["a_0"], set_size=3)
    assert data.target.tolist() == [5, 4, 3]
    assert data.source.tolist() == [11, 10, 9]


def test_sets_larger_than_what_is_there_hold_everything_but_the_edited():
    data = EditData(MANY, TO_HAPPY, images=["l_11"], set_size=2000)
    assert set(data.target) == {0, 1, 2, 3, 4, 5}
    assert set(data.source) == {6, 7, 8, 9, 10}


def test_without_images_some_of_the_source_are_chosen_by_seed():
    def chosen(seed):
        return EditData(MANY, TO_HAPPY, images=3, serving=Serving(seed=seed)).inputs

    assert chosen(0) == chosen(0)
    assert len({tuple(chosen(seed)) for seed in range(10)}) > 1
    assert all(set(chosen(seed)) <= set(MANY.names[6:]) for seed in range(10))
    assert len(set(chosen(0))) == 3


def test_what_is_of_the_source_and_the_target_at_once_is_not_chosen():
    catalog = Faces("abcdefgh", happy=[1, 1, 1, 1, 1, -1, -1, -1], sad=[1, 1, 1, -1, -1, 1, 1, 1])
    for seed in range(10):
        data = EditData(catalog, TO_HAPPY, images=1, serving=Serving(seed=seed))
        assert set(data.inputs) <= {"f_5", "g_6", "h_7"}, "already happy"


def test_a_broken_picture_is_not_chosen():
    catalog = Faces("abcdefghij", [1, 1, 1, -1, -1, -1, -1, -1, -1, -1], broken={3, 5, 7, 9})
    for seed in range(10):
        data = EditData(catalog, TO_HAPPY, image_size=4, images=1, serving=Serving(seed=seed))
        assert set(data.inputs) <= {"e_4", "g_6", "i_8"}


@pytest.mark.parametrize(("side", "happy"), [("source", [1, 1, 1, -1]), ("target", [1, -1, -1, -1])])
def test_a_side_without_pictures_is_an_error_that_names_it(side, happy):
    with pytest.raises(UserError, match=f"the {side} of .*Happy.* has [01] pictures"):
        EditData(Faces("abcd", happy), TO_HAPPY, images=["a_0"])


@pytest.mark.parametrize("name", ["images", "set_size", "image_size"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_number_below_one_is_an_error_that_names_the_argument(name, value):
    said = "n_images" if name == "images" else name  # what the configuration calls it
    with pytest.raises(UserError, match=f"^{said} must be a whole number above 0, got {value}$"):
        EditData(MANY, TO_HAPPY, **({"images": 2} | {name: value}))


@pytest.mark.parametrize("name", ["batch_size", "edit_batch_size"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_batch_without_pictures_is_an_error_that_names_the_argument(name, value):
    with pytest.raises(UserError, match=f"^{name} must be a whole number above 0, got {value}$"):
        Serving(**{name: value})


def test_without_a_task_everything_is_served_and_nothing_chosen():
    data = EditData(MANY, None, image_size=8)
    assert data.inputs == []
    assert len(data.source) == len(data.target) == 0
    assert [i for batch in data.all_dataloader() for i in batch.indices] == list(range(12))


@given(st.integers(1, 14), st.integers(0, 12), st.one_of(st.none(), st.integers(1, 14)))
def test_every_picture_is_served_once_and_in_order(batch_size, first, most):
    data = EditData(MANY, None, image_size=2, serving=Serving(batch_size=batch_size))
    batches = list(data.all_dataloader(first, most))
    served = [i for batch in batches for i in batch.indices]
    assert served == list(range(12))[first:][:most]
    assert all(len(batch.indices) == batch_size for batch in batches[:-1])
    for batch in batches:
        assert batch.images.shape == (len(batch.indices), 3, 2, 2)
        assert batch.names == [MANY.names[i] for i in batch.indices]
        torch.testing.assert_close(batch.images[:, 0, 0, 0], torch.tensor(batch.indices) / 100)


def test_broken_pictures_are_skipped_and_counted():
    data = EditData(Faces("abcdef", [1] * 6, broken={1, 2, 3}), None, image_size=4, serving=Serving(batch_size=2))
    batches = list(data.all_dataloader())
    assert [batch.indices for batch in batches] == [[0], [], [4, 5]]
    assert [batch.names for batch in batches] == [["a_0"], [], ["e_4", "f_5"]]
    assert [len(batch.images) for batch in batches] == [1, 0, 2]
    assert [batch.broken for batch in batches] == [
        ["b_1 does not decode"],
        ["c_2 does not decode", "d_3 does not decode"],
        [],
    ]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_picture_that_was_asked_for_is_an_error_of_one_line(workers):
    catalog = Faces("abcdefgh", [1, 1, 1, 1, -1, -1, -1, -1], broken={5})

    def served():
        data = EditData(catalog, TO_HAPPY, images=["f_5"], image_size=4, serving=Serving(num_workers=workers))
        return list(data.predict_dataloader())

    with pytest.raises(ImageError, match="f_5 does not decode") as caught:
        served()
    assert "\n" not in str(caught.value)


def test_processes_serve_the_same_pictures():
    alone, helped = (EditData(MANY, None, image_size=2, serving=Serving(batch_size=5, num_workers=n)) for n in (0, 2))
    for one, other in zip(alone.all_dataloader(), helped.all_dataloader(), strict=True):
        assert one.indices == other.indices
        assert one.images.equal(other.images)


def test_the_next_batch_is_decoded_while_one_is_worked_on():
    was_read = threading.Event()

    class Watched(Faces):
        def read(self, index, size):
            if index == 1:
                was_read.set()
            return super().read(index, size)

    data = EditData(Watched("abc", happy=[1, 1, 1]), None, image_size=4, serving=Serving(batch_size=1))
    batches = iter(data.all_dataloader())
    assert next(batches).indices == [0]
    assert was_read.wait(timeout=60)
    assert [batch.indices for batch in batches] == [[1], [2]]


def test_a_sample_is_the_same_for_a_seed_and_holds_no_picture_twice():
    data = EditData(Digits(), None, image_size=8, serving=Serving(batch_size=100))

    def sample(seed):
        return [i for batch in data.sample_dataloader(50, seed) for i in batch.indices]

    assert sample(0) == sample(0) != sample(1)
    assert len(set(sample(0))) == 50
    assert max(sample(0)) > 1000, "not of the whole catalog"


def test_a_sample_larger_than_the_catalog_is_the_catalog():
    data = EditData(MANY, None, image_size=2)
    assert sorted(i for batch in data.sample_dataloader(500) for i in batch.indices) == list(range(12))


def test_the_mean_picture_of_a_side_is_the_mean_of_those_that_decode():
    catalog = Faces("abcdefghijkl", happy=[1] * 6 + [-1] * 6, broken={2, 9})
    data = EditData(catalog, TO_HAPPY, images=["l_11"], image_size=4, serving=Serving(batch_size=2))
    source, target = data.mean_pictures(Sets(np.array([6, 8, 9, 11]), np.array([0, 1, 2, 5])))
    torch.testing.assert_close(source, torch.full((3, 4, 4), (6 + 8 + 11) / 300))
    torch.testing.assert_close(target, torch.full((3, 4, 4), (0 + 1 + 5) / 300))


def test_inputs_are_served_in_the_order_asked_for_also_by_path(tmp_path, save_picture):
    path = str(save_picture(tmp_path / "friend.png", 1))
    names = ["digit_0003", path, "digit_0013"]
    data = EditData(Digits(), ClassTask("3", "8"), images=names, image_size=32, serving=Serving(edit_batch_size=2))
    batches = list(data.predict_dataloader())
    assert [batch.names for batch in batches] == [names[:2], names[2:]]
    assert [batch.indices for batch in batches] == [[0, 1], [2]]
    assert batches[1].images[0].equal(Digits().read(13, 32))


def test_an_image_that_is_not_there_is_an_error_before_anything_is_computed():
    with pytest.raises(UserError, match="there is no digit 'digit_9999'"):
        EditData(Digits(), ClassTask("3", "8"), images=["digit_9999"], image_size=32)


@pytest.fixture
def lfw(tmp_path, save_picture):
    """Eight people, smiling or not; Ada_One has a second picture that is not listed."""
    people = [f"{name}_One" for name in ("Ada", "Bo", "Cy", "Dee", "Eli", "Flo", "Gus", "Hal")]
    for seed, person in enumerate(people):
        save_picture(tmp_path / f"lfw/{person}/{person}_0001.jpg", seed)
    save_picture(tmp_path / "lfw/Ada_One/Ada_One_0002.jpg", 99)
    rows = [f"{person.replace('_', ' ')}\t1\t{1 - 2 * (i % 2)}" for i, person in enumerate(people)]
    text = "\n".join(["# lfw_attributes.txt", "#\tperson\timagenum\tSmiling", *rows])
    (tmp_path / "lfw_attributes.txt").write_text(text + "\n")
    return LFW(tmp_path / "lfw", tmp_path / "lfw_attributes.txt")


def test_an_unlisted_picture_of_a_listed_person_holds_the_person_out(lfw):
    data = EditData(lfw, AttributeTask("Smiling"), images=["Ada_One_0002"], image_size=16)
    assert lfw.names[0] == "Ada_One_0001"
    assert 0 not in {*data.source, *data.target}


def test_the_data_of_lfw_go_by_another_name_and_are_the_same(lfw):
    first, second = (
        make(lfw, AttributeTask("Smiling"), images=2, image_size=16) for make in (EditData, LFWAttributeSplits)
    )
    assert isinstance(second, EditData)
    assert second.inputs == first.inputs
    assert (second.source.tolist(), second.target.tolist()) == (first.source.tolist(), first.target.tolist())


def test_a_picture_given_by_its_path_in_the_folder_is_held_out(tmp_path, save_picture):
    for seed in range(4):
        save_picture(tmp_path / f"cat/{seed}.png", seed)
        save_picture(tmp_path / f"dog/{seed}.png", 10 + seed)
    asked = str(Path(tmp_path) / "cat/2.png")
    data = EditData(Folder(tmp_path), ClassTask("cat", "dog"), images=[asked], image_size=16)
    assert set(data.source) == {0, 1, 3}


# Reserved groups


def test_a_group_is_reserved_by_the_published_sha256_of_its_name():
    groups = ["abc", "", "abc"]  # FIPS 180-4 and NIST's vectors: ba7816bf8f01cfea... and e3b0c44298fc1c14...
    assert Reserved(0xBA7816BF / 2**32).among(groups).tolist() == [False] * 3
    assert Reserved(0xBA7816C0 / 2**32).among(groups).tolist() == [True, False, True]
    assert Reserved(0xE3B0C443 / 2**32).among(groups).tolist() == [True] * 3
    assert Reserved(0.0).among(groups).tolist() == [False] * 3


def test_groups_that_are_spared_are_not_reserved_and_all_others_are_as_before():
    groups = [f"Person_{i}" for i in range(50)] * 2
    plain, sparing = Reserved(0.5).among(groups), Reserved(0.5, ["Person_3", "Person_7", "Nobody"]).among(groups)
    assert plain.reshape(2, 50)[0].tolist() == plain.reshape(2, 50)[1].tolist()
    spared = np.isin(groups, ["Person_3", "Person_7"])
    assert plain[spared].any()
    assert sparing.tolist() == (plain & ~spared).tolist()


def test_a_number_is_a_share_and_whoever_is_spared_is_edited():
    everyone = Faces("abcdefghijkl" * 2, happy=[1] * 12 + [-1] * 12)
    assert Reserved.of(0.5) == Reserved(0.5)
    assert Reserved.of(Reserved(0.5, ["b"])) == Reserved(0.5, ["b"])
    data = EditData(everyone, TO_HAPPY, images=["b_13"], reserved=Reserved(0.5, ["b"]))
    assert data.inputs == ["b_13"]
    assert {everyone.groups[i] for i in [*data.source, *data.target]} == set("abcdefghijkl") - LOW


def test_about_the_share_is_reserved_and_a_larger_share_reserves_more():
    groups = [f"Person_{i}" for i in range(4000)]
    some, more = Reserved(0.1).among(groups), Reserved(0.25).among(groups)
    assert some.mean() == pytest.approx(0.1, abs=0.02)  # four standard deviations
    assert more.mean() == pytest.approx(0.25, abs=0.03)
    assert not (some & ~more).any()
    assert Reserved(0.25).among(groups[::-1])[::-1].tolist() == more.tolist()


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, "many", True, None, float("nan")])
def test_a_share_that_is_none_is_an_error_that_names_it(share):
    with pytest.raises(UserError, match=f"data.reserved must be a number from 0 to below 1, got {share!r}"):
        EditData(MANY, None, reserved=share)


LOW = set("bcdefj")  # of the letters a ... l, those whose SHA-256 begins below 0x80, by sha256sum


@pytest.mark.parametrize("seed", range(5))
def test_reserved_people_are_in_no_set_and_not_edited(seed):
    everyone = Faces("abcdefghijkl" * 2, happy=[1] * 12 + [-1] * 12)
    data = EditData(everyone, TO_HAPPY, images=2, image_size=8, reserved=0.5, serving=Serving(seed=seed))
    edited = {name[0] for name in data.inputs}
    assert len(edited) == 2
    for chosen in (data.source, data.target, *(np.flatnonzero(side > 0) for side in data.pool.sides)):
        assert {everyone.groups[i] for i in chosen} == set("abcdefghijkl") - LOW - edited


def test_without_a_share_the_same_pictures_are_chosen_as_ever():
    data = EditData(MANY, TO_HAPPY, images=["l_11"], reserved=0)
    assert {*data.source, *data.target} == set(range(11))


def test_a_reserved_picture_asked_for_is_an_error_that_names_it():
    everyone = Faces("abcdefghijkl" * 2, happy=[1] * 12 + [-1] * 12)
    with pytest.raises(UserError, match=r"images names 'b_13'.*data.reserved=0.5.*or data.reserved=0$"):
        EditData(everyone, TO_HAPPY, images=["a_12", "b_13"], reserved=0.5)
    assert EditData(everyone, TO_HAPPY, images=["a_12"], reserved=0.5).inputs == ["a_12"]


def test_a_side_that_is_all_reserved_is_an_error_that_says_so():
    catalog = Faces("bcdeagih", happy=[1, 1, 1, 1, -1, -1, -1, -1])
    with pytest.raises(UserError, match=r"the target of .* has 0 pictures .*data.reserved=0.5 keeps out"):
        EditData(catalog, TO_HAPPY, images=1, reserved=0.5)


def test_reserved_digits_are_pictures_of_their_own():
    data = EditData(Digits(), ClassTask("3", "8"), images=2, image_size=32, reserved=0.25)
    kept_out = Reserved(0.25).among(Digits().names)
    assert kept_out.mean() == pytest.approx(0.25, abs=0.04)
    assert not kept_out[[*data.source, *data.target]].any()


def test_pictures_that_are_left_out_are_in_neither_set_and_all_else_stays():
    whole = EditData(Digits(), ClassTask("3", "8"), images=["digit_0003"], image_size=8, set_size=60)
    out = np.concatenate([whole.source[::2], whole.target[:5], [0]])
    left = whole.without(out)
    assert left.source.tolist() == whole.source[1::2].tolist()
    assert left.target.tolist() == whole.target[5:].tolist()
    assert left.pool.confident.source is left.source
    assert left.pool.confident.target is left.target
    for now, before in zip(left.pool.sides, whole.pool.sides, strict=True):
        expected = before.copy()
        expected[out] = -1
        assert now.tolist() == expected.tolist()
    assert left.inputs == whole.inputs
    assert left.task is whole.task
    assert len(whole.source) == 60
    assert (whole.pool.sides[0][whole.source] > 0).all(), "the whole is left alone"


def test_the_others_of_a_class_are_in_neither_set_and_no_inputs():
    data = EditData(Digits(), ClassTask("3", "8"), images=4, image_size=8, set_size=30)
    for part in (data, data.part(data.inputs[:2], Sets(data.source[:5], data.target[:5]))):
        source, target = part.others
        digits = Digits().digits
        assert (digits[source] == 3).all()
        assert (digits[target] == 8).all()
        inputs = {data.catalog.index(name) for name in data.inputs}
        assert not (set(source.tolist()) & (inputs | set(part.source.tolist())))
        assert len(source) == (digits == 3).sum() - len(inputs) - len(part.source)
        assert len(target) == (digits == 8).sum() - len(part.target)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_how_many_pictures_were_read_is_told(num_workers):
    told = []
    serving = Serving(batch_size=3, num_workers=num_workers, on_pictures=lambda *numbers: told.append(numbers))
    data = EditData(Faces("abcdefgh", [1] * 8, broken=[4]), image_size=8, serving=serving)
    list(data.all_dataloader())
    assert told == [(3, 8), (6, 8), (8, 8)]


def test_what_the_told_raises_ends_the_pass():
    def told(n_read, n_all):
        raise KeyError(n_read)

    data = EditData(Faces("abcd", [1] * 4), image_size=8, serving=Serving(batch_size=3, on_pictures=told))
    with pytest.raises(KeyError, match="3"):
        list(data.all_dataloader())
