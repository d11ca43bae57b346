"""The registry of model families: a third one is one file and one line here. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from napari_unet.core.errors import InputError

if TYPE_CHECKING:
    from napari_unet.core.models.base import Segmenter


@dataclass(frozen=True)
class Preset:
    """One network of a family: how the person calls it, and what it is good for."""

    title: str
    why: str


@dataclass(frozen=True)
class Family:
    """What is known of a model family before it is imported.

    Attributes
    ----------
    title : str
        For the person.
    module, segmenter : str
        A room beside this one and its `Segmenter`.
    presets : dict of str to Preset
        What its `Segmenter.configure` knows; the first one is the default.
    package, extra : str
        What it needs beyond torch, and the extra of ours that brings it; empty for nothing.
    """

    title: str
    module: str
    segmenter: str
    presets: Mapping[str, Preset]
    package: str = ""
    extra: str = ""

    @property
    def lack(self) -> str:
        """Why it cannot be used here, in one sentence; empty where it can."""
        if not self.package or find_spec(self.package) is not None:
            return ""
        return (
            f'{self.title} needs {self.package}: run `pip install "napari-unet-cells[{self.extra}]"'
            "` first."
        )


_FOR_A_GPU = "million parameters: for a GPU"
_PHOTOGRAPHS = "begins with weights learned from photographs, which are fetched once"

MODELS: dict[str, Family] = {
    "unet": Family(
        "U-Net",
        "unet",
        "UNetSegmenter",
        {
            "default": Preset("default", "0.5 to 2 million parameters: trains on a laptop"),
            "wide": Preset(
                "wide", "1 to 4.4 million parameters: better outlines in twice the time"
            ),
            "paper": Preset(
                "paper 2015",
                "Ronneberger et al. to the letter, and how they trained it: 31 million parameters, "
                "for a GPU",
            ),
        },
    ),
    "mask-rcnn": Family(
        "Mask R-CNN",
        "mask_rcnn",
        "MaskRCNNSegmenter",
        {
            "default": Preset("light", "2.4 million parameters: trains on a laptop"),
            "resnet18": Preset("ResNet-18", f"32 {_FOR_A_GPU}"),
            "resnet34": Preset("ResNet-34", f"42 {_FOR_A_GPU}"),
            "resnet50": Preset("ResNet-50", f"45 {_FOR_A_GPU}, the trunk of He et al. 2017"),
            "resnet18-imagenet": Preset("ResNet-18, ImageNet", f"32 {_FOR_A_GPU}; {_PHOTOGRAPHS}"),
            "resnet34-imagenet": Preset("ResNet-34, ImageNet", f"42 {_FOR_A_GPU}; {_PHOTOGRAPHS}"),
            "resnet50-imagenet": Preset("ResNet-50, ImageNet", f"45 {_FOR_A_GPU}; {_PHOTOGRAPHS}"),
            "resnet50-coco": Preset("ResNet-50, COCO", f"45 {_FOR_A_GPU}; {_PHOTOGRAPHS}"),
        },
        package="torchvision",
        extra="mask-rcnn",
    ),
}


def check_name(name: str, preset: str = "default") -> None:
    """Raise an `InputError` where there is no such family, or it has no such preset."""
    if name not in MODELS:
        raise InputError(f"There is no architecture {name!r}: choose one of {', '.join(MODELS)}.")
    presets = MODELS[name].presets
    if preset not in presets:
        raise InputError(f"{name} has no preset {preset!r}: choose one of {', '.join(presets)}.")


def find_model(name: str) -> type[Segmenter]:
    """Import a family by its name, or say in an `InputError` which there are or what is missing."""
    check_name(name)
    family = MODELS[name]
    if family.lack:
        raise InputError(family.lack)
    if family.package:
        try:
            import_module(family.package)
        except (ImportError, RuntimeError) as error:  # one made for another torch, or half gone
            raise InputError(
                f"{family.title} needs {family.package}, which cannot be loaded ({error}): run "
                f"`pip install --force-reinstall torch {family.package}` first."
            ) from error
    room = import_module(f"{__name__}.{family.module}")
    segmenter: type[Segmenter] = getattr(room, family.segmenter)
    return segmenter
