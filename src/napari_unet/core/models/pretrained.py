"""Weights of residual trunks that have learned from photographs, as torchvision offers them."""

from __future__ import annotations

from pickle import UnpicklingError

from torch import Tensor, hub
from torchvision.models import get_weight

from napari_unet.core.errors import InputError

SOURCES = {
    "resnet18-imagenet": "ResNet18_Weights.IMAGENET1K_V1",
    "resnet34-imagenet": "ResNet34_Weights.IMAGENET1K_V1",
    "resnet50-imagenet": "ResNet50_Weights.IMAGENET1K_V2",
    "resnet50-coco": "MaskRCNN_ResNet50_FPN_Weights.COCO_V1",
}
"""Trunk and what it has learned from, and the name of the weights in torchvision."""

_BODY = "backbone.body."  # of a detector its trunk


def load_trunk(source: str) -> dict[str, Tensor]:
    """Load the weights of a ResNet, from the disk where they are there, else from the internet.

    Parameters
    ----------
    source : str
        One of `SOURCES`.

    Returns
    -------
    dict of str to Tensor
        As `torchvision.models.resnet.ResNet` has them, without its classifier.

    Raises
    ------
    InputError
        If they are not on the disk and cannot be fetched, or are damaged.
    """
    weights = get_weight(SOURCES[source])
    try:
        # a file that is on the disk already may be anybody's: weights, and nothing that runs
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, EOFError, RuntimeError, UnpicklingError) as error:  # off-line; a bad file
        raise InputError(
            f"The weights of {source} cannot be fetched, or are damaged ({error}): "
            f"connect to the internet, put {weights.url} into {hub.get_dir()}/checkpoints, or "
            f"choose {source.partition('-')[0]}, which begins from scratch."
        ) from error
    if any(name.startswith(_BODY) for name in state):
        state = {name.removeprefix(_BODY): value for name, value in state.items() if _BODY in name}
    return {name: value for name, value in state.items() if not name.startswith("fc.")}
