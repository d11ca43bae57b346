from __future__ import annotations

import dataclasses
import types

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_unet.core import prediction
from napari_unet.core.card import ModelCard
from napari_unet.core.checkpoint import Model
from napari_unet.core.config import PredictConfig, to_dict
from napari_unet.core.errors import InputError
from napari_unet.core.events import exhaust
from napari_unet.core.models.unet import UNetConfig, UNetSegmenter
from napari_unet.core.normalize import normalize, percentiles
from napari_unet.core.prediction import look_for_zoom, predict
from napari_unet.core.regions import shift
from napari_unet.core.types import Looking, Prediction, TileDone, Warned
from napari_unet.core.windows import take_middle, take_window

SAME = UNetConfig(base=4, depth=3, classes=2)
VALID = UNetConfig(base=4, depth=3, padding="valid", normalization="none")
COARSE = UNetConfig(base=4, depth=2, zoom=1 / 3)
FINE = UNetConfig(base=4, depth=2, zoom=2.0)
PLANS = pytest.mark.parametrize(
    "plan", [SAME, VALID, COARSE, FINE], ids=["same", "valid", "coarse", "fine"]
)


def untrained(plan: UNetConfig) -> Model:
    """A network with random weights and running statistics that are not those of a fresh one."""
    torch.manual_seed(0)
    segmenter = UNetSegmenter(plan)
    for layer in segmenter.net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.5, 2)
    segmenter.net.eval()
    return Model(segmenter, ModelCard("unet", to_dict(plan), channels=plan.channels))


def forward(model, image):
    """The net over the whole mirrored image at once, with nothing of ours in between."""
    height, width = image.shape[1:]
    ready = torch.from_numpy(normalize(image))[None]
    stride, context = model.segmenter.stride, model.segmenter.tile_context
    rows, columns = (mirrored(n, context, -n % stride + context) for n in (height, width))
    image = ready[:, :, rows[:, None], columns[None, :]]
    with torch.inference_mode():
        if model.segmenter.config.padding == "valid":
            logits = model.segmenter.net(image[..., 2:-2, 2:-2])[..., 2:-2, 2:-2]
        else:
            zoom = model.segmenter.config.zoom
            logits = resized(model.segmenter.net(resized(image, zoom)), 1 / zoom)
            logits = logits[..., context:-context, context:-context]
    return torch.softmax(logits, 1)[0, 1:, :height, :width].numpy()


def resized(maps, factor):
    if factor == 1:
        return maps
    mode = "area" if factor < 1 else "bilinear"
    return functional.interpolate(maps, scale_factor=factor, mode=mode)


def mirrored(length, before, after):
    return np.pad(np.arange(length), (before, after), "reflect" if length > 1 else "edge")


def probabilities(model, image, tile, region=None):
    config = PredictConfig(tile=tile, device="cpu", precision="float32")
    return exhaust(predict(model, image, config, region=region)).probabilities


@PLANS
@pytest.mark.parametrize("shape", [(100, 131), (64, 64), (33, 200), (7, 5)])
def test_tiled_equals_whole_in_the_interior_and_at_the_border(plan, shape):
    model = untrained(plan)
    image = np.random.default_rng(1).random((1, *shape))
    whole = probabilities(model, image, 1024)
    np.testing.assert_allclose(whole, forward(model, image), atol=1e-4)
    assert whole.std() > 1e-3
    for tile in (16, 40, 64):
        np.testing.assert_allclose(probabilities(model, image, tile), whole, atol=1e-4)


@PLANS
def test_a_region_equals_its_cut_of_the_whole(plan):
    model = untrained(plan)
    image = np.random.default_rng(1).random((1, 120, 90))
    region = (slice(13, 77), slice(30, 61))
    whole = probabilities(model, image, 1024)
    np.testing.assert_allclose(
        probabilities(model, image, 24, region), whole[:, 13:77, 30:61], atol=1e-4
    )


def test_flipping_the_weights_flips_the_prediction():
    """Mirrored border and tile grid have no preferred side."""
    model = untrained(VALID)
    image = np.random.default_rng(2).random((1, 64, 64))
    expected = probabilities(model, image, 64)[:, :, ::-1]
    for layer in model.segmenter.net.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            layer.weight.data = layer.weight.data.flip(-1)
    np.testing.assert_allclose(probabilities(model, image[:, :, ::-1], 64), expected, atol=1e-4)


def test_probabilities_go_into_the_callers_array():
    model = untrained(SAME)
    out = np.full((2, 40, 40), -1, np.float32)
    prediction = exhaust(predict(model, np.random.default_rng(0).random((1, 40, 40)), out=out))
    assert np.shares_memory(prediction.probabilities, out)
    assert 0 <= out.min() <= out.max() <= 1


def test_an_image_of_other_channels_is_refused():
    with pytest.raises(InputError, match="3 channels, such as RGB"):
        exhaust(predict(untrained(SAME), np.ones((3, 8, 8))))


def test_the_distance_is_stitched_as_the_probabilities_are():
    model = untrained(UNetConfig(base=4, depth=3, classes=2, distance=True))
    image = np.random.default_rng(3).random((1, 90, 70))
    whole, tiled = (np.zeros((3, 90, 70), np.float32) for _ in range(2))
    for out, tile in ((whole, 1024), (tiled, 24)):
        config = PredictConfig(device="cpu", precision="float32", tile=tile)
        found = exhaust(predict(model, image, config, out=out))
        assert found.probabilities.shape == (2, 90, 70)
    np.testing.assert_allclose(tiled, whole, atol=1e-4)
    assert whole[2].std() > 0.01


@pytest.mark.parametrize("turns", [1, 2])
def test_the_mean_over_turns_turns_with_the_image(turns):
    model = untrained(SAME)
    image = np.random.default_rng(2).random((1, 64, 96))
    config = PredictConfig(tile=128, device="cpu", precision="float32", tta=True)

    def mean(image):
        return exhaust(predict(model, image, config)).probabilities

    upright, turned = mean(image), mean(np.rot90(image, turns, (1, 2)).copy())
    np.testing.assert_allclose(np.rot90(upright, turns, (1, 2)), turned, atol=1e-5)
    mirrored = mean(image[:, :, ::-1].copy())
    np.testing.assert_allclose(upright[:, :, ::-1], mirrored, atol=1e-5)
    assert np.abs(upright - probabilities(model, image, 128)).max() > 1e-3


def test_smaller_tiles_are_tried_when_the_memory_runs_out(monkeypatch):
    model = untrained(SAME)
    image = np.random.default_rng(2).random((1, 200, 150))
    expected = probabilities(model, image, 64)
    tell = UNetSegmenter.predict_tile

    def greedy(self, image, **options):
        if image.shape[-1] > 64 + 2 * self.tile_context:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return tell(self, image, **options)

    monkeypatch.setattr(UNetSegmenter, "predict_tile", greedy)
    events = []
    config = PredictConfig(tile=256, device="cpu", precision="float32")
    found = exhaust(predict(model, image, config), events.append)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
    said = [event.message for event in events if isinstance(event, Warned)]
    assert [words.partition("tiles of ")[2] for words in said] == ["128 px.", "64 px."]


@PLANS
def test_a_window_predicts_its_region_as_the_whole_image_does(plan):
    model = untrained(plan)
    image = np.random.default_rng(1).random((1, 400, 300))
    region = (slice(150, 213), slice(100, 151))
    whole = probabilities(model, image, 64, region)
    window = take_window(model.card, region, image.shape[1:])
    assert image[0][window].size < image.size
    found = exhaust(
        predict(
            model,
            image[(slice(None), *window)],
            PredictConfig(tile=24, device="cpu", precision="float32"),
            region=shift(region, -window[0].start, -window[1].start),
            grey=percentiles(image),
        )
    )
    np.testing.assert_allclose(found.probabilities, whole, atol=1e-4)


def test_the_tiles_come_from_a_point_outward():
    model = untrained(SAME)
    image = np.random.default_rng(1).random((1, 200, 150))
    config = PredictConfig(tile=64, device="cpu", precision="float32")
    events = []
    found = exhaust(predict(model, image, config, centre=(190, 10)), events.append)
    first = events[0].region
    assert first[0].start <= 190 < first[0].stop
    assert first[1].start <= 10 < first[1].stop
    np.testing.assert_allclose(found.probabilities, probabilities(model, image, 64), atol=1e-5)


def test_a_zoom_that_is_known_is_not_looked_for_again():
    model = untrained(UNetConfig(base=4, depth=2, distance=True))
    card = dataclasses.replace(model.card, any_size=True, diameter=24.0)
    model = Model(model.segmenter, card)
    image = np.random.default_rng(1).random((1, 200, 150))
    config = PredictConfig(device="cpu", precision="float32")
    events, known = [], []
    whole = exhaust(predict(model, image, config), events.append)
    assert isinstance(events[0], Looking)
    zoom = exhaust(look_for_zoom(model, image, take_middle((200, 150)), config))
    again = exhaust(predict(model, image, config, zoom=zoom), known.append)
    assert all(isinstance(event, TileDone) for event in known)
    np.testing.assert_allclose(again.probabilities, whole.probabilities, atol=1e-6)


@pytest.mark.parametrize(("diameter", "zoom", "tiles"), [(24.0, 1.0, [1]), (48.0, 0.5, [1, 4, 1])])
def test_many_cells_of_the_expected_size_are_enough_of_a_look(diameter, zoom, tiles, monkeypatch):
    """A glance is one tile of four; where it shows cells of another size all four are looked at."""
    model = untrained(UNetConfig(base=4, depth=2, distance=True))
    model = Model(model.segmenter, dataclasses.replace(model.card, any_size=True, diameter=24.0))
    grid, inside = np.arange(512) // 52, np.arange(512) % 52 < diameter * np.sqrt(np.pi) / 2
    labels = (1 + 10 * grid[:, None] + grid) * (inside[:, None] & inside)
    found = Prediction(labels, np.ones(0), np.ones(0))
    stitcher = type(model.segmenter.stitcher((slice(0, 8), slice(0, 8))))
    monkeypatch.setattr(stitcher, "result", lambda self, config: found)
    image = np.random.default_rng(1).random((1, 1024, 1024))
    config = PredictConfig(tile=512, device="cpu", precision="float32")
    events = []
    looking = look_for_zoom(model, image, take_middle((1024, 1024)), config)
    assert exhaust(looking, events.append) == zoom
    assert [event.total for event in events if event.done == event.total] == tiles


def looks(monkeypatch, trained_at, shown):
    """The zoom that is found, and the zooms looked with, where each shows cells of so large edges
    and so high scores."""
    model = untrained(UNetConfig(base=4, depth=2, distance=True))
    segmenter = model.segmenter.fit(1, 1, trained_at)
    card = dataclasses.replace(model.card, any_size=True, diameter=24.0, maps=segmenter.maps)
    model = Model(segmenter, card)
    looked = []

    def look(segmenter, image, where, config, region, *_):
        looked.append(1 / segmenter.pixel)
        edge, score = shown[looked[-1]]
        labels = np.zeros((90, 90), np.int32)
        labels[:edge, :edge] = 1
        found = Prediction(labels, np.ones(1), np.full(int(edge > 0), score))
        return types.SimpleNamespace(result=lambda config: found)
        yield

    monkeypatch.setattr(prediction, "stitch_tiles", look)
    work = look_for_zoom(
        model,
        np.random.default_rng(1).random((1, 90, 90)),
        take_middle((90, 90)),
        PredictConfig(device="cpu"),
    )
    return exhaust(work), looked


DISC = np.sqrt(np.pi) / 2  # edge of a square as large as a disc of diameter 1


@pytest.mark.parametrize(("score", "zoom"), [(0.9, 2.0), (0.4, 1.0)])
def test_between_two_zooms_the_one_that_shows_more_sure_cells_is_taken(monkeypatch, score, zoom):
    small = round(19 * DISC)
    found, looked = looks(monkeypatch, 1.0, {1.0: (small, 0.8), 2.0: (small, score)})
    assert (found, looked) == (zoom, [1.0, 2.0])


def test_the_first_look_is_at_the_size_of_the_cells_that_were_painted(monkeypatch):
    found, looked = looks(monkeypatch, 0.5, {0.5: (round(48 * DISC), 0.8)})
    assert (found, looked) == (0.5, [0.5])


def test_where_that_shows_nothing_the_image_is_looked_at_as_it_is(monkeypatch):
    shown = {0.5: (0, 0.0), 1.0: (round(24 * DISC), 0.8)}
    assert looks(monkeypatch, 0.5, shown) == (1.0, [0.5, 1.0])
