"""Who takes part in a contest."""

from __future__ import annotations

import pytest

from napari_unet.core.entries import Entry, choose_entries
from napari_unet.core.errors import InputError
from napari_unet.core.models import MODELS


def test_all_of_the_registry_take_part_from_scratch():
    assert choose_entries() == tuple(Entry(name) for name in MODELS)
    assert [entry.name for entry in choose_entries()] == list(MODELS)


def test_those_that_are_asked_for_and_a_start_model_for_its_family():
    entries = choose_entries(["mask-rcnn:resnet18", "unet"], ["nuclei"])
    assert entries == (Entry("mask-rcnn", "resnet18"), Entry("unet", start_from="nuclei"))
    assert [entry.name for entry in entries] == ["mask-rcnn-resnet18", "unet"]


def test_one_that_lacks_a_package_takes_part_and_fails_by_itself(monkeypatch):
    monkeypatch.setattr("napari_unet.core.models.find_spec", lambda _: None)
    assert choose_entries() == tuple(Entry(name) for name in MODELS)


@pytest.mark.parametrize(
    ("architectures", "start_from", "words"),
    [
        (["forest"], [], "no architecture 'forest': choose one of unet"),
        (["unet:huge"], [], "unet has no preset 'huge': choose one of default, "),
        (["unet", "unet"], [], "unet is there twice"),
        ([], ["nuclei", "phase"], "nuclei and phase are both a unet"),
        (["mask-rcnn"], ["nuclei"], "nuclei is a unet, which does not take part"),
        (["unet:wide"], ["nuclei"], "unet:wide cannot start from nuclei"),
        ([], ["nowhere"], "no model file .*nowhere"),
    ],
)
def test_what_cannot_take_part_is_a_sentence(architectures, start_from, words):
    with pytest.raises(InputError, match=words):
        choose_entries(architectures, start_from)
