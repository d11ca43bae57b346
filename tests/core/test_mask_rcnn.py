"""What makes a Mask R-CNN one for cells: boxes of their size, sparse paint, room for crowds."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision.models import WeightsEnum, get_weight, resnet18
from torchvision.models.detection import maskrcnn_resnet50_fpn

from napari_unet.core.candidates import MASK, Candidates
from napari_unet.core.card import ModelCard
from napari_unet.core.checkpoint import Model, load_model, save_model
from napari_unet.core.config import InstanceConfig, PredictConfig, TrainConfig, WeightConfig
from napari_unet.core.errors import InputError
from napari_unet.core.events import exhaust
from napari_unet.core.matching import find_overlaps
from napari_unet.core.models import MODELS, find_model
from napari_unet.core.models.mask_rcnn import MaskRCNNConfig, MaskRCNNSegmenter
from napari_unet.core.models.mask_rcnn_losses import losses
from napari_unet.core.models.mask_rcnn_targets import find_cells
from napari_unet.core.models.pretrained import SOURCES, load_trunk
from napari_unet.core.prediction import predict
from napari_unet.core.training import train
from napari_unet.core.types import Sample

ON_CPU = PredictConfig(device="cpu", precision="float32")


def crowd() -> Sample:
    """600 cells of 8 px in 384 × 256 px."""
    rng = np.random.default_rng(0)
    labels = np.zeros((256, 384), np.int32)
    rows, columns = np.mgrid[:256, :384]
    for label, (y, x) in enumerate(np.ndindex(20, 30), 1):
        centre = 12.8 * np.array([y, x]) + 6.4 + rng.uniform(-2, 2, 2)
        labels[np.hypot(rows - centre[0], columns - centre[1]) <= 4] = label
    image = 100.0 * (labels > 0) + rng.normal(100, 10, labels.shape)
    return Sample(image[None].astype(np.float32), labels, name="crowd")


def maps_of(labels):
    """`CellTarget.maps` of a tile; −1 is unsaid."""
    return torch.from_numpy(np.stack([labels, labels > 0]).astype(np.float32))


def test_the_light_one_has_at_most_six_million_parameters_and_the_others_are_standard():
    diameters = np.full(20, 24.0)
    light = MaskRCNNSegmenter(MaskRCNNSegmenter.configure("default", 1, 1, diameters))
    assert sum(p.numel() for p in light.net.parameters()) < 6e6
    plan = MaskRCNNSegmenter.configure("resnet50", 1, 1, diameters)
    assert (plan.width, plan.neurons) == (256, 1024)
    with pytest.raises(InputError, match="has no preset 'paper': choose one of default, resnet18"):
        exhaust(train([crowd()], TrainConfig(steps=1), architecture="mask-rcnn", preset="paper"))


def test_anchors_are_as_large_as_the_painted_cells():
    plan = MaskRCNNSegmenter.configure("default", 1, 1, np.array([20.0, 22, 24, 26, 40]))
    segmenter = MaskRCNNSegmenter(plan)
    image = torch.zeros(1, 1, 64, 64)
    anchors, *_ = segmenter.net.rate_anchors(image, segmenter.net(image))
    edges = (anchors[0][:, 2:] - anchors[0][:, :2]).prod(1).sqrt()
    assert edges.min() == pytest.approx(plan.small, abs=1)
    assert plan.small == pytest.approx(20.8, abs=0.1)


def test_cells_of_another_size_are_seen_at_the_common_one():
    plan = MaskRCNNSegmenter.configure("default", 1, 1, np.full(9, 96.0))
    assert plan.zoom == 0.25
    segmenter = MaskRCNNSegmenter(plan)
    labels = np.zeros((128, 128), np.float32)
    labels[16:112, 16:112] = 1
    batch = segmenter.collate(torch.zeros(1, 1, 128, 128), maps_of(labels)[None])
    assert batch.image.shape[2:] == (32, 32)
    assert batch.cells[0].boxes.tolist() == [[4, 4, 28, 28]]


def test_a_cut_cell_is_found_but_its_outline_teaches_nothing():
    labels = np.zeros((32, 32))
    labels[4:12, 4:12], labels[20:30, 20:32] = 1, 2
    labels[16:20, 30:32] = 3  # a sliver at the border is no cell to be found
    cells = find_cells(maps_of(labels), 8.0)
    assert cells.boxes.tolist() == [[4, 4, 12, 12], [20, 20, 32, 30]]
    assert cells.whole.tolist() == [True, False]
    assert cells.unsaid_share(torch.tensor([[30.0, 16, 32, 20]])).item() == 1


@pytest.mark.parametrize(("unsaid", "counts"), [(0.2, True), (0.4, False)])
def test_a_box_that_may_be_an_unpainted_cell_teaches_nothing(unsaid, counts):
    """Anchors of which more is unsaid than would make them a cell are no background."""
    labels = np.zeros((32, 40))
    labels[:, : round(40 * unsaid)] = -1
    cells = find_cells(maps_of(labels), 8.0)
    share = cells.unsaid_share(torch.tensor([[0.0, 0, 40, 32]])).item()
    assert share == pytest.approx(unsaid)
    segmenter = MaskRCNNSegmenter(MaskRCNNConfig())
    matcher = segmenter.net.proposing.proposal_matcher
    assert (share < matcher.low_threshold) == counts


def test_nothing_said_is_no_loss_and_background_said_is_one():
    torch.manual_seed(0)
    segmenter = MaskRCNNSegmenter(MaskRCNNConfig())
    image = torch.randn(1, 1, 64, 64)
    unsaid = segmenter.collate(image, maps_of(np.full((64, 64), -1.0))[None])
    ground = segmenter.collate(image, maps_of(np.zeros((64, 64)))[None])
    assert sum(losses(segmenter.net, unsaid, 64).values()).item() == 0
    said = losses(segmenter.net, ground, 64)
    assert said["proposals"] > 0
    assert said["masks"] == said["boxes"] == said["proposed boxes"] == 0


def test_mask_targets_are_the_cell_in_its_box_and_not_its_neighbour():
    labels = np.zeros((32, 32))
    labels[8:24, 8:16], labels[8:24, 16:24] = 1, 2
    cells = find_cells(maps_of(labels), 8.0)
    box = torch.tensor([[8.0, 8, 24, 24]])
    left = cells.masks(box, torch.tensor([0]), 8)[0]
    assert (left[:, :4] == 1).all()
    assert (left[:, 4:] == 0).all()


def test_other_channels_are_seen_as_the_mean_of_them():
    torch.manual_seed(0)
    segmenter = MaskRCNNSegmenter(MaskRCNNConfig(channels=3))
    segmenter.net.eval()
    image = torch.rand(1, 1, 64, 64)
    one = segmenter.fit(1, 1, 1.0)
    with torch.inference_mode():
        wanted = segmenter.net(image.expand(-1, 3, -1, -1))
        seen = one.net(image)
    for name, level in wanted.items():
        torch.testing.assert_close(seen[name], level, atol=1e-4, rtol=1e-4)


def test_a_card_of_a_trunk_that_is_none_is_said(tmp_path):
    path = tmp_path / "model.safetensors"
    card = ModelCard("mask-rcnn", {"trunk": "vgg"}, channels=1)
    save_model(Model(MaskRCNNSegmenter(MaskRCNNConfig()), card), path)
    with pytest.raises(InputError, match="damaged or not those of its card"):
        load_model(path, "cpu")


def test_where_nothing_is_proposed_nothing_is_found():
    torch.manual_seed(0)
    segmenter = MaskRCNNSegmenter(MaskRCNNConfig())
    torch.nn.init.constant_(segmenter.net.proposing.head.cls_logits.bias, -20.0)
    segmenter.net.eval()
    with torch.inference_mode():
        (found,) = segmenter.predict_tile(torch.zeros(1, 1, 64, 64))
    assert found.boxes.shape == (0, 4)
    assert found.masks.shape == (0, 28, 28)


def test_a_tile_does_not_change_what_is_found(discs, learnt):
    model, _ = learnt("mask-rcnn")
    whole, tiled = (
        exhaust(predict(model, discs.image, dataclasses.replace(ON_CPU, tile=tile)))
        for tile in (512, 48)
    )
    assert whole.labels.max() >= 10
    assert find_overlaps(whole.labels, tiled.labels).match(0.9).size == whole.labels.max()
    assert tiled.labels.max() == whole.labels.max()
    np.testing.assert_allclose(np.sort(tiled.scores), np.sort(whole.scores), atol=0.02)


def test_six_hundred_cells_of_eight_pixels_are_found_where_the_defaults_cannot():
    sample = crowd()
    config = TrainConfig(
        steps=60, batch_size=1, tile=128, val_fraction=0, device="cpu", learning_rate=2e-3
    )
    model = exhaust(train([sample], config, architecture="mask-rcnn"))
    found = exhaust(predict(model, sample.image, ON_CPU))
    recall = len(find_overlaps(sample.labels, found.labels).match(0.5)) / 600
    assert recall >= 0.9
    defaults = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=2, box_score_thresh=0.0, min_size=256
    ).eval()
    with torch.inference_mode():
        (detected,) = defaults([torch.from_numpy(sample.image / 300).expand(3, -1, -1)])
    assert len(detected["boxes"]) <= 100  # whatever it has learnt, it gives no more
    edges = defaults.rpn.anchor_generator.sizes
    assert min(min(level) for level in edges) == 32 > 8


def test_weights_of_pixels_are_of_no_use_but_classes_are():
    labels = np.zeros((32, 32), np.int32)
    labels[4:12, 4:12], labels[20:28, 20:28], labels[31, 31] = 7, 9, -1
    sample = Sample(labels[None].astype(np.float32), labels, classes={9: 2})
    segmenter = MaskRCNNSegmenter(MaskRCNNConfig(classes=2))
    (target,) = segmenter.targets([sample], WeightConfig())
    assert target.maps[1, 5, 5] == 1
    assert target.maps[1, 21, 21] == 2
    assert not target.known[0, 0]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("prefix", ["", "backbone.body."])
def test_a_trunk_begins_with_what_photographs_have_taught(monkeypatch, channels, prefix):
    taught = resnet18(weights=None)
    for value in taught.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 0.2)
    state = {prefix + name: value for name, value in taught.state_dict().items()}
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: state)
    plan = MaskRCNNSegmenter.configure("resnet18-imagenet", channels, 1, np.full(9, 24.0))
    segmenter = MaskRCNNSegmenter.begin("resnet18-imagenet", plan)
    image = torch.rand(1, 1, 32, 32).expand(-1, channels, -1, -1)
    taught.eval()
    maps = taught.relu(taught.bn1(taught.conv1(image[:, :1].expand(-1, 3, -1, -1))))
    wanted = taught.layer1(taught.maxpool(maps))
    net = segmenter.net.eval()
    torch.testing.assert_close(net.trunk[0](net.shrink(net.stem(image))), wanted)


def test_without_the_internet_one_sentence_says_where_weights_belong(monkeypatch):
    def fetch(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", fetch)
    with pytest.raises(
        InputError, match=r"cannot be fetched, .*resnet18-.*\.pth into .*checkpoints"
    ):
        exhaust(
            train(
                [crowd()],
                TrainConfig(steps=1),
                architecture="mask-rcnn",
                preset="resnet18-imagenet",
            )
        )


class Intruder:
    """What runs code where it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("intruded"),)


def test_a_file_in_the_place_of_weights_runs_no_code(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    name = Path(get_weight(SOURCES["resnet18-imagenet"]).url).name
    place = tmp_path / "hub" / "checkpoints" / name
    place.parent.mkdir(parents=True)
    torch.save({"conv1.weight": Intruder()}, place)
    with pytest.raises(InputError, match="or are damaged"):
        load_trunk("resnet18-imagenet")
    assert not (tmp_path / "intruded").exists()


def test_without_torchvision_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr("napari_unet.core.models.find_spec", lambda _: None)
    assert MODELS["unet"].lack == ""
    with pytest.raises(InputError, match=r'pip install "napari-unet-cells\[mask-rcnn\]"'):
        find_model("mask-rcnn")


def test_a_torchvision_that_cannot_be_loaded_is_said(monkeypatch):
    def refuse(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("napari_unet.core.models.import_module", refuse)
    with pytest.raises(InputError, match=r"nms does not exist\): run `pip install --force-reinst"):
        find_model("mask-rcnn")


def test_torchvision_is_not_imported_for_others():
    code = (
        "import sys, napari_unet.core.training as t; from napari_unet.core.models import *;"
        "find_model('unet'); sys.exit('torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_candidates_are_kept_that_are_cells_with_one_overlap_and_found_again_with_another():
    """Of two that have three fifths in common both are kept, of two that are as good as one not."""
    segmenter = MaskRCNNSegmenter(MaskRCNNConfig())
    proposed = torch.tensor([[0.0, 0, 40, 40], [10, 0, 50, 40], [1, 0, 40, 40]])
    deltas, sureness = torch.zeros(3, 4), torch.tensor([0.9, 0.8, 0.7])
    ((boxes, scores, places),) = segmenter.net.choose([proposed], deltas, sureness, (64, 64), 0.05)
    assert places.tolist() == [0, 1]  # the third is the first one
    torch.testing.assert_close(boxes, proposed[:2])
    masks = np.zeros((2, MASK, MASK), np.uint8)
    masks[0, :, :14] = masks[1, :, 14:] = 255  # of the masks nothing is in common
    found = Candidates(boxes.numpy(), scores.numpy(), masks, np.ones(2, np.uint8), (64, 64))
    assert len(found.label(InstanceConfig(overlap=0.55)).scores) == 1
    assert len(found.label(InstanceConfig(overlap=0.65)).scores) == 2


def test_the_heads_see_whole_lots_of_boxes_whatever_their_number():
    """Each number of its own would be a shape of its own, for which memory is kept for good."""
    torch.manual_seed(0)
    net = MaskRCNNSegmenter(MaskRCNNConfig()).net.eval()
    seen = set()
    for head in (net.boxes.box_head, net.boxes.mask_head):
        head.register_forward_pre_hook(lambda _, given: seen.add(len(given[0])))
    corners = torch.rand(40, 2) * 40
    boxes = torch.cat([corners, corners + 8 + torch.rand(40, 2) * 16], dim=1)
    with torch.inference_mode():
        levels = net(torch.randn(2, 1, 64, 64))
        rated, drawn = (
            work(levels, [boxes[:9], boxes[9:]], (64, 64))
            for work in (net.rate_boxes, net.draw_masks)
        )
        assert seen == {64, 40}
        for count in (0, 7, 21, 23, 31):
            some = [boxes[:9], boxes[9 : 9 + count]]
            torch.testing.assert_close(
                net.rate_boxes(levels, some, (64, 64))[0], rated[0][: 9 + count]
            )
            torch.testing.assert_close(net.draw_masks(levels, some, (64, 64)), drawn[: 9 + count])
    assert seen == {64, 40, 32, 16}
