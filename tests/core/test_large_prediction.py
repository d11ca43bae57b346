"""Large images: as in memory, in pieces, after a stop, after kill -9, on a cluster."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import random
import signal
import sys
import time

import numpy as np
import pytest
import torch
import zarr

from napari_unet.core import large_job, large_prediction
from napari_unet.core import large_stages as stages
from napari_unet.core.card import ModelCard
from napari_unet.core.checkpoint import Model, load_model, save_model
from napari_unet.core.config import (
    AugmentConfig,
    InstanceConfig,
    PredictConfig,
    TrainConfig,
    to_dict,
)
from napari_unet.core.errors import InputError
from napari_unet.core.events import exhaust
from napari_unet.core.formats.labelled import find_view
from napari_unet.core.formats.ome_zarr import read_zarr
from napari_unet.core.instances import label_instances
from napari_unet.core.large_prediction import predict_large
from napari_unet.core.lazy_image import find_percentiles, open_image
from napari_unet.core.metrics import evaluate
from napari_unet.core.models.mask_rcnn import MaskRCNNSegmenter
from napari_unet.core.models.unet import UNetConfig, UNetSegmenter
from napari_unet.core.normalize import percentiles
from napari_unet.core.prediction import predict
from napari_unet.core.samples import make_sample
from napari_unet.core.training import train
from napari_unet.core.types import (
    BlockLabelled,
    ChunkWritten,
    Looking,
    Resumed,
    TileDone,
    Warned,
)
from napari_unet.core.windows import reach

CONFIG = PredictConfig(tile=96, device="cpu", precision="float32")
BLOCK = 128  # so small that the images here have many


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network that has learned nothing, but whose foreground is blobs of some pixels."""
    torch.manual_seed(1)
    plan = UNetConfig(base=4, depth=2, classes=2, distance=True)
    segmenter = UNetSegmenter(plan)
    with torch.no_grad():
        segmenter.net.classify.weight *= 6
        segmenter.net.classify.bias[0] += 2.5
    segmenter.net.eval()
    card = ModelCard(
        "unet", to_dict(plan), channels=1, classes=("a", "b"), maps=3,
        instances=InstanceConfig(min_size=8, min_score=0.0),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(Model(segmenter, card), path)
    return path


@pytest.fixture
def image(tmp_path):
    """300 × 410 px of smooth noise as a zarr on disk."""
    rng = np.random.default_rng(0)
    coarse = rng.random((1, 60, 82)).astype(np.float32)
    fine = np.kron(coarse, np.ones((1, 5, 5), np.float32)) + rng.random((1, 300, 410)) * 0.2
    path = tmp_path / "image.zarr"
    zarr.create_array(path, data=fine.astype(np.float32), chunks=(1, 64, 64))
    return path


@pytest.fixture(scope="module")
def finder(tmp_path_factory):
    """A network that has learned for seconds to find whole cells."""
    path = tmp_path_factory.mktemp("finder") / "model.safetensors"
    config = TrainConfig(
        steps=60, batch_size=2, tile=96, validations=1, val_fraction=0, device="cpu",
        precision="float32", augment=AugmentConfig(elastic=0, scale=1.1),
    )  # fmt: skip
    sample = make_sample("fluorescence", (128, 160))
    exhaust(train([sample], config, architecture="mask-rcnn", output=path))
    return path


@pytest.fixture
def nuclei(tmp_path):
    """300 × 410 px of synthetic nuclei as a zarr on disk."""
    path = tmp_path / "nuclei.zarr"
    array = make_sample("fluorescence", (300, 410), seed=1).image
    zarr.create_array(path, data=array, chunks=(1, 64, 64))
    return path


@pytest.fixture(params=[("model", "image"), ("finder", "nuclei")], ids=["maps", "candidates"])
def either(request):
    """A model and an image for each kind of what a network says."""
    return tuple(request.getfixturevalue(name) for name in request.param)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The labels that a run leaves to which nothing happens."""
    made = {}

    def find(model, image):
        if model not in made:
            found = run(model, image, tmp_path_factory.mktemp("undisturbed") / "out.zarr")
            made[model] = read_labels(found.path)
        return made[model]

    return find


def run(model, image, output, watch=None, config=CONFIG, **options):
    return exhaust(start(model, image, output, config, **options), watch)


def start(model, image, output, config=CONFIG, **options):
    return predict_large(model, open_image(image), output, config, block=BLOCK, **options)


def read_labels(path):
    return zarr.open_group(path, mode="r")["0"][:]


def raster_order(labels):
    """Numbered in the order of their first pixels."""
    values, first = np.unique(labels, return_index=True)
    number = np.zeros(len(values), int)
    cells = np.flatnonzero(values > 0)
    number[cells[np.argsort(first[cells])]] = np.arange(1, len(cells) + 1)
    return number[np.searchsorted(values, labels)]


def test_the_maps_and_cells_are_those_of_the_image_in_memory(model, image, tmp_path):
    events = []
    found = run(model, image, tmp_path / "out.zarr", events.append, keep_maps=True)
    array = zarr.open_array(image, mode="r")[:]
    maps = np.zeros((3, *array.shape[1:]), np.float32)
    exhaust(predict(load_model(model, "cpu"), array, CONFIG, out=maps))
    kept = zarr.open_array(tmp_path / "out.zarr.scratch" / "maps", mode="r")[:]
    np.testing.assert_allclose(kept / 65535, maps, atol=1e-4)
    whole = label_instances(
        large_job.dequantize(kept), InstanceConfig(min_size=8, min_score=0.0), 2
    )
    labels = read_labels(found.path)
    assert found.cells == len(whole.scores) > 100
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, raster_order(whole.labels))
    table = zarr.open_group(found.path, mode="r")["cells"]
    old = np.zeros(found.cells + 1, int)
    old[labels] = whole.labels
    np.testing.assert_array_equal(table["class"][:], whole.classes[old[1:] - 1])
    np.testing.assert_array_equal(table["score"][:], whole.scores[old[1:] - 1])
    assert set(whole.classes) == {1, 2}
    for kind, total in ((TileDone, 20), (BlockLabelled, 12)):
        assert [e.done for e in events if isinstance(e, kind)] == list(range(1, total + 1))


def test_the_candidates_and_cells_are_those_of_the_image_in_memory(finder, nuclei, tmp_path):
    found = run(finder, nuclei, tmp_path / "out.zarr", keep_maps=True)
    array = zarr.open_array(nuclei, mode="r")[:]
    whole = exhaust(predict(load_model(finder, "cpu"), array, CONFIG))
    labels = read_labels(found.path)
    assert found.cells == len(whole.scores) > 30
    np.testing.assert_array_equal(labels, raster_order(whole.labels))
    table = zarr.open_group(found.path, mode="r")["cells"]
    old = np.zeros(found.cells + 1, int)
    old[labels] = whole.labels
    np.testing.assert_array_equal(table["class"][:], whole.classes[old[1:] - 1])
    np.testing.assert_array_equal(table["score"][:], whole.scores[old[1:] - 1])
    assert len(list((tmp_path / "out.zarr.scratch" / "candidates").iterdir())) == 20
    truth = make_sample("fluorescence", (300, 410), seed=1).labels
    assert evaluate(truth, labels)["ap50"] > 0.7


def test_each_cell_of_maps_is_as_its_label(model, image, tmp_path):
    """In a stripe of one block and in one of the whole image alike, after a stop too."""
    shapes = []
    found = run(model, image, tmp_path / "out.zarr", write_wholes=shapes.extend)
    assert not (tmp_path / "out.zarr.scratch").exists()
    labels, table = read_labels(found.path), zarr.open_group(found.path, mode="r")["cells"]
    assert sorted(cell.label for cell in shapes) == list(range(1, found.cells + 1))
    drawn = np.zeros_like(labels)
    for cell in shapes:
        find_view(drawn, cell)[cell.mask] += cell.label
        assert cell.score == table["score"][cell.label - 1]
        assert cell.kind == "ab"[table["class"][cell.label - 1] - 1]
    np.testing.assert_array_equal(drawn, labels)


def test_each_candidate_is_whole_where_others_lie_over_it(finder, nuclei, tmp_path):
    shapes = []
    found = run(finder, nuclei, tmp_path / "out.zarr", write_wholes=shapes.extend)
    array = zarr.open_array(nuclei, mode="r")[:]
    whole = exhaust(predict(load_model(finder, "cpu"), array, CONFIG))
    labels = read_labels(found.path)
    old = np.zeros(found.cells + 1, int)
    old[labels] = whole.labels
    assert len(shapes) == found.cells
    hidden = 0
    for cell in shapes:
        at = old[cell.label] - 1
        np.testing.assert_array_equal(cell.mask, whole.instances.masks[at])
        assert cell.origin == tuple(whole.instances.boxes[at][:2])
        assert cell.score == pytest.approx(float(whole.scores[at]))
        assert cell.kind == ""  # of a single class nothing is said
        hidden += np.count_nonzero(find_view(labels, cell)[cell.mask] != cell.label)
    assert hidden > 0


def test_it_is_an_ome_zarr_with_a_pyramid(model, tmp_path):
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Label, Multiscales, Reader

    rng = np.random.default_rng(0)
    image = tmp_path / "image.zarr"
    group = zarr.open_group(image, mode="w")
    group.create_array("0", data=rng.random((1, 60, 2100)).astype(np.float32))
    steps = [{"type": "scale", "scale": [1, 0.5, 0.25]}]
    axes = [{"name": "c", "type": "channel"}] + [
        {"name": name, "type": "space", "unit": "micrometer"} for name in "yx"
    ]
    multiscale = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    found = run(model, image, tmp_path / "out.zarr")
    node = next(iter(Reader(parse_url(found.path))()))
    assert any(isinstance(spec, Label) for spec in node.specs)
    assert any(isinstance(spec, Multiscales) for spec in node.specs)
    finest, half, quarter = (np.asarray(level) for level in node.data)
    np.testing.assert_array_equal(half, finest[::2, ::2])
    np.testing.assert_array_equal(quarter, finest[::4, ::4])
    metadata = zarr.open_group(found.path, mode="r").attrs["ome"]["multiscales"][0]
    assert [axis["unit"] for axis in metadata["axes"]] == ["micrometer"] * 2
    scales = [level["coordinateTransformations"][0]["scale"] for level in metadata["datasets"]]
    assert scales == [[0.5, 0.25], [1.0, 0.5], [2.0, 1.0]]
    assert not (tmp_path / "out.zarr.scratch").exists()
    again = open_image(found.path)
    assert again.pixel_size == (0.5, 0.25)


@pytest.mark.parametrize("after", [3, 24, 36])
def test_a_stop_leaves_what_can_be_read_and_gone_on_with(either, undisturbed, tmp_path, after):
    model, image = either
    whole = undisturbed(model, image)
    output = tmp_path / "out.zarr"
    work = start(model, image, output)
    for _ in range(after):
        event = next(work)
    work.close()
    part = read_labels(output)
    assert part.shape == whole.shape
    assert np.array_equal(part[part > 0], whole[part > 0])
    with pytest.raises(InputError, match="was stopped: run its command again"):
        read_zarr(output, None)  # half of the cells are not to be taken for all
    events = []
    run(model, image, output, events.append)
    np.testing.assert_array_equal(read_labels(output), whole)
    assert isinstance(events[0], Resumed)
    tiles = [e for e in events if isinstance(e, TileDone)]
    assert len(tiles) == 20 - events[0].tiles <= 20 - min(after, 20)
    assert isinstance(event, {3: TileDone, 24: BlockLabelled, 36: ChunkWritten}[after])
    np.testing.assert_array_equal(read_zarr(output, None)[0].labels, whole)


def test_a_stop_leaves_blocks_undone_that_have_not_begun(model, image, tmp_path, monkeypatch):
    begun = []

    def label(job, index):
        begun.append(index)
        return label_part(job, index)

    label_part = stages.label_part
    monkeypatch.setattr(stages, "label_part", label)
    work = start(model, image, tmp_path / "out.zarr")
    while not isinstance(next(work), BlockLabelled):
        pass
    work.close()
    assert 1 <= len(begun) < 12


def test_what_goes_wrong_in_one_block_is_said(model, image, tmp_path, monkeypatch):
    def label(job, index):
        if index == 5:
            raise OSError(28, "No space left on device")
        return label_part(job, index)

    label_part = stages.label_part
    monkeypatch.setattr(stages, "label_part", label)
    with pytest.raises(InputError, match="No space left"):
        run(model, image, tmp_path / "out.zarr")
    monkeypatch.undo()
    assert run(model, image, tmp_path / "out.zarr").cells > 100


def test_another_threshold_only_labels(either, tmp_path):
    model, image = either
    output = tmp_path / "out.zarr"
    run(model, image, output, keep_maps=True)
    other = PredictConfig(
        tile=96, device="cpu", precision="float32",
        instances=InstanceConfig(threshold=0.7, min_score=0.0),
    )  # fmt: skip
    events = []
    run(model, image, output, events.append, config=other)
    assert not any(isinstance(event, TileDone) for event in events)
    fresh = run(model, image, tmp_path / "fresh.zarr", config=other)
    np.testing.assert_array_equal(read_labels(output), read_labels(fresh.path))


def test_it_does_not_go_on_with_another_model_image_or_tile(model, image, tmp_path):
    output = tmp_path / "out.zarr"
    work = start(model, image, output)
    next(work)
    work.close()
    other = tmp_path / "other.safetensors"
    segmenter = UNetSegmenter(UNetConfig(base=4, depth=2, classes=2, distance=True))
    save_model(Model(segmenter, ModelCard("unet", to_dict(segmenter.config), 1, ("a", "b"))), other)
    brighter = zarr.open_array(image, mode="r")[:] * 2
    for call, said in (
        ((other, image, output), "another model"),
        ((model, brighter, output), "another image"),
        ((model, brighter[:, ::-1] // 2, output), "another image"),  # percentiles are the same
        ((model, image, output, None, PredictConfig(tile=128, device="cpu")), "other settings"),
    ):
        with pytest.raises(InputError, match=said) as error:
            run(*call)
        assert "\n" not in str(error.value)
    run(model, image, output)


def test_it_goes_on_with_its_tile_where_nobody_asks_for_another(
    model, image, undisturbed, tmp_path, monkeypatch
):
    """Also where a later version would choose another by itself."""
    output = tmp_path / "out.zarr"
    anyhow = PredictConfig(device="cpu", precision="float32")
    monkeypatch.setattr(UNetSegmenter, "tile", 96)
    work = start(model, image, output, config=anyhow)
    next(work)
    work.close()
    monkeypatch.setattr(UNetSegmenter, "tile", 128)
    events = []
    run(model, image, output, events.append, config=anyhow)
    assert isinstance(events[0], Resumed)
    np.testing.assert_array_equal(read_labels(output), undisturbed(model, image))


def test_what_is_not_ours_is_not_written_over(model, image, tmp_path):
    before = zarr.open_array(image, mode="r")[:]
    with pytest.raises(InputError, match="not a prediction of ours"):
        run(model, image, image)
    np.testing.assert_array_equal(zarr.open_array(image, mode="r")[:], before)
    run(model, image, tmp_path / "out.zarr")
    run(model, image, tmp_path / "out.zarr")  # one of ours is replaced


def test_not_a_number_in_one_tile_is_one_sentence(model, image, tmp_path):
    array = zarr.open_array(image, mode="r+")
    array[0, 250, 300] = np.nan
    with pytest.raises(InputError, match="NaN or infinite values near row"):
        run(model, image, tmp_path / "out.zarr")


def test_smaller_tiles_are_tried_when_the_memory_runs_out(
    model, image, undisturbed, tmp_path, monkeypatch
):
    expected = undisturbed(model, image)
    tell = UNetSegmenter.predict_tile

    def greedy(self, image, **options):
        if image.shape[-1] > 48 + 2 * self.tile_context:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return tell(self, image, **options)

    monkeypatch.setattr(UNetSegmenter, "predict_tile", greedy)
    events = []
    found = run(model, image, tmp_path / "b.zarr", events.append)
    np.testing.assert_array_equal(read_labels(found.path), expected)
    assert sum(isinstance(event, Warned) for event in events) == 1


def test_candidates_of_smaller_tiles_are_the_same_cells(
    finder, nuclei, undisturbed, tmp_path, monkeypatch
):
    expected = undisturbed(finder, nuclei)
    tell = MaskRCNNSegmenter.predict_tile

    def greedy(self, image, **options):
        if image.shape[-1] > 48 + 2 * self.tile_context:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return tell(self, image, **options)

    monkeypatch.setattr(MaskRCNNSegmenter, "predict_tile", greedy)
    labels = read_labels(run(finder, nuclei, tmp_path / "b.zarr").path)
    assert evaluate(expected, labels)["ap75"] > 0.95


def test_cells_of_any_size_are_looked_at_first(image, tmp_path):
    """At the zoom that the image in memory would be seen at."""
    events = []
    output = tmp_path / "out.zarr"
    run("nuclei", image, output, events.append, PredictConfig(device="cpu"), keep_maps=True)
    assert isinstance(events[0], Looking)
    array = zarr.open_array(image, mode="r")[:]
    maps = np.zeros((2, 300, 410), np.float32)
    exhaust(predict(load_model("nuclei", "cpu"), array, PredictConfig(device="cpu"), out=maps))
    kept = zarr.open_array(tmp_path / "out.zarr.scratch" / "maps", mode="r")[:]
    np.testing.assert_allclose(kept / 65535, maps, atol=1e-4)


def test_the_first_look_is_at_the_middle_of_the_image(model, monkeypatch):
    """As when the image is in memory, and with what of its surroundings the network sees."""
    array = np.random.default_rng(0).random((1, 2500, 2700)).astype(np.float32)
    seen = []

    def look(model, image, region, config, *, grey, name):
        seen.append((image, region, grey))
        yield from ()
        return 0.5

    monkeypatch.setattr(large_prediction, "look_for_zoom", look)
    loaded = load_model(model, "cpu")
    pairs = find_percentiles(open_image(array), loaded.card.normalize)
    work = large_prediction._look(loaded, loaded.segmenter, open_image(array), pairs, CONFIG)
    assert exhaust(work).pixel == 2
    ((part, region, grey),) = seen
    np.testing.assert_array_equal(part[(slice(None), *region)], array[:, 738:1762, 838:1862])
    margin, _ = reach(loaded.card)
    assert min(region[0].start, region[1].start) >= margin
    assert part.shape[1] < array.shape[1]
    np.testing.assert_array_equal(grey, percentiles(array, loaded.card.normalize))


def test_a_full_disk_is_one_sentence_and_no_loss(model, image, undisturbed, tmp_path, monkeypatch):
    expected = undisturbed(model, image)
    write, written = stages.write_tile, []

    def fill_up(*args):
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        written.append(args)
        return write(*args)

    monkeypatch.setattr(stages, "write_tile", fill_up)
    with pytest.raises(InputError, match=r"not finished \(No space left on device\)"):
        run(model, image, tmp_path / "out.zarr")
    monkeypatch.undo()
    events = []
    found = run(model, image, tmp_path / "out.zarr", events.append)
    assert any(isinstance(event, Resumed) for event in events)
    assert np.array_equal(read_labels(found.path), expected)


def test_an_image_without_cells(model, image, tmp_path):
    strict = dataclasses.replace(CONFIG, instances=InstanceConfig(min_size=100_000))
    found = run(model, image, tmp_path / "out.zarr", config=strict)
    assert found.cells == 0
    assert not read_labels(found.path).any()


def work_and_tell(told, model, image, output):
    """What a process does that is killed; it tells when it begins."""
    load_model(model, "cpu")
    told.send("ready")
    run(model, image, output)


@pytest.fixture(scope="module")
def launch():
    """Begins a prediction in a process of its own, which need not import torch again."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([large_prediction.__name__, MaskRCNNSegmenter.__module__])

    def begin(*arguments):
        heard, told = context.Pipe(duplex=False)
        child = context.Process(target=work_and_tell, args=(told, *arguments))
        child.start()
        told.close()
        assert heard.recv() == "ready"
        return child

    return begin


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals")
def test_killed_at_any_moment_it_goes_on_to_the_same_labels(either, launch, undisturbed, tmp_path):
    model, image = either
    whole = undisturbed(model, image)
    output = tmp_path / "out.zarr"
    chance = random.Random(0)
    for _ in range(4):
        child = launch(model, image, output)
        time.sleep(chance.uniform(0.05, 1.2))
        child.kill()
        child.join()
        if output.exists():
            part = read_labels(output)
            assert np.array_equal(part[part > 0], whole[part > 0])
    child = launch(model, image, output)
    child.join()
    assert child.exitcode == 0
    np.testing.assert_array_equal(read_labels(output), whole)
    assert not list(output.rglob("*.partial"))
    assert not (tmp_path / "out.zarr.scratch").exists()


@pytest.fixture(scope="module")
def cluster():
    """Two workers, each a process, of which another takes the place when it dies."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as workers:
        yield workers


def test_a_worker_that_dies_costs_its_tiles_only(either, cluster, undisturbed, tmp_path):
    model, image = either
    whole = undisturbed(model, image)
    output = tmp_path / "out.zarr"
    events = []
    cluster.wait_for_workers(2)  # the last one that died has been replaced
    victim = next(iter(cluster.workers.values())).pid

    def watch(event):
        events.append(event)
        if isinstance(event, TileDone) and event.done == 4:
            os.kill(victim, signal.SIGKILL)

    run(model, image, output, watch, scheduler=cluster.scheduler_address)
    np.testing.assert_array_equal(read_labels(output), whole)
    for kind, total in ((TileDone, 20), (BlockLabelled, 12), (ChunkWritten, 12)):
        assert [e.done for e in events if isinstance(e, kind)] == list(range(1, total + 1))


def test_no_scheduler_there_is_one_sentence(model, image, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_unet.core.cluster._WAIT", 1)
    with pytest.raises(InputError, match="No dask scheduler answers at"):
        run(model, image, tmp_path / "out.zarr", scheduler="tcp://127.0.0.1:9")
