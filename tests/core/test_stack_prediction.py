"""Whole stacks into one file: as plane by plane, after a stop, never half written."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pytest
import tifffile
import torch

from napari_unet.core import stack_prediction
from napari_unet.core.card import ModelCard
from napari_unet.core.checkpoint import Model
from napari_unet.core.config import InstanceConfig, PredictConfig, to_dict
from napari_unet.core.errors import InputError
from napari_unet.core.events import exhaust
from napari_unet.core.formats.labelled import find_view
from napari_unet.core.models.unet import UNetConfig, UNetSegmenter
from napari_unet.core.prediction import predict
from napari_unet.core.stack import open_stack
from napari_unet.core.stack_prediction import predict_stack
from napari_unet.core.stack_scale import read_scale
from napari_unet.core.types import Looking, PlaneDone

CONFIG = PredictConfig(tile=96, device="cpu", precision="float32")
SCALE = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "TimeIncrement": 20.0}


@pytest.fixture(scope="module")
def model():
    """A network that has learned nothing, but whose foreground is blobs of some pixels."""
    torch.manual_seed(1)
    plan = UNetConfig(base=4, depth=2, classes=2, distance=True)
    segmenter = UNetSegmenter(plan)
    with torch.no_grad():
        segmenter.net.classify.weight *= 6
        segmenter.net.classify.bias[0] += 2.5
    segmenter.net.eval()
    instances = InstanceConfig(min_size=8, min_score=0.0)
    card = ModelCard(
        "unet", to_dict(plan), channels=1, classes=("a", "b"), maps=3, instances=instances
    )
    return Model(segmenter, card)


def write(path, planes, axes="TYX"):
    data = np.random.default_rng(0).integers(0, 4000, (*planes, 70, 90)).astype(np.uint16)
    tifffile.imwrite(path, data, ome=True, metadata={"axes": axes, **SCALE})
    return data


@pytest.mark.parametrize(("axes", "planes"), [("TYX", (4,)), ("ZYX", (3,)), ("TZYX", (2, 3))])
def test_a_stack_is_its_planes_of_one_brightness(model, tmp_path, axes, planes):
    source, target = tmp_path / "stack.ome.tif", tmp_path / "out.tif"
    data = write(source, planes, axes)
    stack, seen = open_stack(source), []
    done = exhaust(predict_stack(model, stack, target, CONFIG, key="a"), seen.append)
    grey = stack.percentiles(model.card.normalize)
    flat = data.reshape(-1, 1, 70, 90)
    expected = [exhaust(predict(model, plane, CONFIG, grey=grey)).labels for plane in flat]
    with tifffile.TiffFile(target) as tif:
        assert tif.series[0].axes == axes
        found = tif.series[0].asarray()
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found.reshape(-1, 70, 90), expected)
    assert done.cells == sum(int(labels.max()) for labels in expected) > 0
    assert done.planes == len(flat)
    assert [event.done for event in seen if isinstance(event, PlaneDone)] == [
        *range(1, len(flat) + 1)
    ]
    said = read_scale(target)
    assert said["PhysicalSizeX"] == 0.5
    assert [path.name for path in tmp_path.iterdir() if path != source] == ["out.tif"]


def test_a_stop_keeps_the_planes_that_are_done(model, tmp_path):
    source, target = tmp_path / "stack.ome.tif", tmp_path / "out.tif"
    write(source, (4,))
    stack = open_stack(source)
    target.write_bytes(b"of before")

    def stop(event):
        if isinstance(event, PlaneDone) and event.done == 2:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        exhaust(predict_stack(model, stack, target, CONFIG, key="a"), stop)
    assert target.read_bytes() == b"of before"

    def again(output, key):
        seen = []
        exhaust(predict_stack(model, stack, output, CONFIG, key=key), seen.append)
        return [event.kept for event in seen if isinstance(event, PlaneDone)]

    assert again(target, "a") == [True, True, False, False]
    assert again(tmp_path / "other.tif", "b") == [False] * 4
    np.testing.assert_array_equal(tifffile.imread(target), tifffile.imread(tmp_path / "other.tif"))
    assert not list(tmp_path.glob("*.scratch"))


def test_planes_done_with_other_settings_are_not_taken(model, tmp_path):
    source, target = tmp_path / "stack.ome.tif", tmp_path / "out.tif"
    write(source, (2,))
    stack = open_stack(source)
    with contextlib.closing(predict_stack(model, stack, target, CONFIG, key="a")) as work:
        while not isinstance(next(work), PlaneDone):
            pass
    seen = []
    exhaust(predict_stack(model, stack, target, CONFIG, key="b"), seen.append)
    assert not any(event.kept for event in seen if isinstance(event, PlaneDone))


def test_numbers_beyond_16_bits_are_kept(model, tmp_path):
    source, target = tmp_path / "stack.ome.tif", tmp_path / "out.tif"
    write(source, (2,))
    scratch = tmp_path / "out.tif.a.scratch"
    scratch.mkdir()
    labels = np.zeros((70, 90), np.int32)
    labels[:5], labels[20:25] = 1, 70000
    for number in (1, 2):
        tifffile.imwrite(scratch / f"{number}.tif", labels)
    done = exhaust(predict_stack(model, open_stack(source), target, CONFIG, key="a"))
    np.testing.assert_array_equal(tifffile.imread(target), [labels, labels])
    assert done.cells == 4


def test_linked_numbers_are_the_same_after_a_stop(model, tmp_path):
    source = tmp_path / "stack.ome.tif"
    data = write(source, (4,))
    data[1] = data[0]  # the same cells
    tifffile.imwrite(source, data, ome=True, metadata={"axes": "TYX"})
    stack = open_stack(source)

    def work(name):
        return predict_stack(model, stack, tmp_path / name, CONFIG, key="a", link=True)

    done = exhaust(work("whole.tif"))
    labels = tifffile.imread(tmp_path / "whole.tif")
    np.testing.assert_array_equal(labels[1], labels[0])
    assert labels[0].max() > 0
    np.testing.assert_array_equal(np.unique(labels), range(done.ids + 1))
    assert done.ids < done.cells == sum(len(np.unique(plane)) - 1 for plane in labels)
    with contextlib.closing(work("stopped.tif")) as stopped:
        while not (isinstance(event := next(stopped), PlaneDone) and event.done == 3):
            pass
    assert exhaust(work("stopped.tif")) == done
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "stopped.tif"), labels)


def test_whole_cells_have_the_numbers_of_the_stack_after_a_stop_too(model, tmp_path):
    source = tmp_path / "stack.ome.tif"
    data = write(source, (3,))
    data[1] = data[0]
    tifffile.imwrite(source, data, ome=True, metadata={"axes": "TYX"})
    stack, cells = open_stack(source), []

    def work(write_wholes):
        return predict_stack(
            model, stack, tmp_path / "o.tif", CONFIG, key="a", link=True, write_wholes=write_wholes
        )

    with contextlib.closing(work(None)) as stopped:  # a plane whose cells were not asked for
        while not isinstance(next(stopped), PlaneDone):
            pass
    with contextlib.closing(work(cells.extend)) as stopped:
        while not (isinstance(event := next(stopped), PlaneDone) and event.done == 2):
            pass
    assert cells == []
    seen = []
    done = exhaust(work(cells.extend), seen.append)
    kept = [event.kept for event in seen if isinstance(event, PlaneDone)]
    assert kept == [True, True, False]
    labels = tifffile.imread(tmp_path / "o.tif")
    drawn = np.zeros_like(labels)
    for cell in cells:
        find_view(drawn[cell.frame], cell)[cell.mask] += cell.label
        assert cell.kind in ("a", "b")
        assert 0 <= cell.score <= 1
    np.testing.assert_array_equal(drawn, labels)
    assert len(cells) == done.cells > 0


def test_ids_are_linked_along_one_axis(model, tmp_path):
    source = tmp_path / "stack.ome.tif"
    write(source, (2, 2), "TZYX")
    with pytest.raises(InputError, match="planes along T and Z, and ids can be linked along one"):
        exhaust(
            predict_stack(model, open_stack(source), tmp_path / "o.tif", CONFIG, key="a", link=True)
        )


def test_all_planes_are_seen_with_the_zoom_of_most(model, tmp_path, monkeypatch):
    """Each plane by itself would be seen with its own."""
    source = tmp_path / "stack.ome.tif"
    write(source, (5,))
    any_size = dataclasses.replace(model, card=dataclasses.replace(model.card, any_size=True))
    found, seen = iter([0.5, 1.0, 0.5, 2.0, 0.5]), []

    def look(*arguments, **options):
        yield Looking(1, 1)
        return next(found)

    def watch(*arguments, zoom, **options):
        seen.append(zoom)
        return (yield from predict(model, *arguments[1:], **options))

    monkeypatch.setattr(stack_prediction, "look_for_zoom", look)
    monkeypatch.setattr(stack_prediction, "predict", watch)
    exhaust(predict_stack(any_size, open_stack(source), tmp_path / "o.tif", CONFIG, key="a"))
    assert seen == [0.5] * 5


def test_a_result_that_cannot_be_written_is_a_sentence(model, tmp_path):
    source, target = tmp_path / "stack.ome.tif", tmp_path / "out.tif"
    write(source, (2,))
    target.mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        exhaust(predict_stack(model, open_stack(source), target, CONFIG, key="a"))
    assert list(tmp_path.glob("*.scratch"))  # what is done is not lost
