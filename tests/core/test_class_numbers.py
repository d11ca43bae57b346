from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.class_numbers import check_known, match_classes, renumber
from napari_unet.core.errors import InputError
from napari_unet.core.types import Sample


@pytest.mark.parametrize(
    ("known", "names", "every", "numbers"),
    [
        (("A", "C"), ("C",), ("A", "C"), {1: 2}),
        (("A", "C"), ("C", "A"), ("A", "C"), {1: 2, 2: 1}),
        (("A", "C"), ("B", "C"), ("A", "C", "B"), {1: 3, 2: 2}),
        (("A", "C"), ("A", "C", "B"), ("A", "C", "B"), {}),
        (("cell",), ("A", "C"), ("A", "C"), {}),
        (("A", "C"), ("cell",), ("cell",), {}),
        ((), ("A",), ("A",), {}),
    ],
)
def test_classes_go_by_their_names(known, names, every, numbers):
    assert match_classes(known, names) == (every, numbers)


def test_a_cell_of_which_no_class_is_said_is_of_the_first_one():
    labels = np.array([[-1, 0, 1, 2, 5]], np.int32)
    sample = Sample(np.zeros((1, 1, 5)), labels, classes={5: 2, 9: 1})
    (other,) = renumber([sample], {1: 3, 2: 1})
    assert other.classes == {1: 3, 2: 3, 5: 1}
    assert renumber([sample], {}) == [sample]


def test_a_class_that_came_later_is_named():
    sample = Sample(np.zeros((1, 1, 5)), np.ones((1, 5), np.int32), classes={1: 3})
    check_known([sample], ("A", "B", "C"), ("A", "B", "C"))
    with pytest.raises(InputError, match=r"The class D was not there .*\(A, B\)"):
        check_known([sample], ("A", "B"), ("A", "B", "D"))
