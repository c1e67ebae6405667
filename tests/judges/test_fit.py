"""Judges are asked before the work whether they can judge."""

import numpy as np
import pytest
import torch

from dmt.errors import UserError
from dmt.judges import LikenessJudge, OutputJudge, require_fit


class Network:
    def output(self, images, name):
        if name != "there":
            raise UserError(f"the judge has no output {name!r}; it has there")
        return np.zeros((len(images), 2))


PICTURE = torch.full((3, 8, 8), 0.5)


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        (OutputJudge(Network(), "missing", 0), "no output 'missing'"),
        (OutputJudge(Network(), "there"), "choose one with column"),
        (OutputJudge(Network(), "there", 2), "there is no 2"),
        (LikenessJudge(Network(), "missing"), "no output 'missing'"),
    ],
)
def test_a_judge_that_cannot_judge_is_named_before_any_work(judge, said):
    with pytest.raises(UserError, match=rf"judges\.mood: .*{said}"):
        require_fit({"mood": judge}, PICTURE)


class OfMany:
    may_say_nan = True


def test_judges_that_can_and_those_that_compare_many_say_nothing():
    require_fit({"mood": OutputJudge(Network(), "there", 1), "many": OfMany()}, PICTURE)


class Failing:
    def columns(self, name, before, after):
        raise RuntimeError("sizes of\ntensors")


def test_whatever_a_judge_fails_with_is_one_line():
    with pytest.raises(UserError, match=r"judges\.odd fails: RuntimeError: sizes of tensors; mend it, or leave it out"):
        require_fit({"odd": Failing()}, PICTURE)
