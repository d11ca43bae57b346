"""`napari-unet compare`: model families trained on one annotation and one split."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.annotated_files import add_annotation_flags, read_annotated
from napari_unet.core.config import TrainConfig
from napari_unet.core.start_models import START_MODELS
from napari_unet.evaluate_command import tell_score
from napari_unet.say import say
from napari_unet.train_command import add_settings_flags, read_settings

if TYPE_CHECKING:
    from napari_unet.core.standings import ContestEvent

_TABLE = "comparison.csv"


def add_compare_flags(parser: argparse.ArgumentParser) -> None:
    """What `run_compare` reads."""
    add_annotation_flags(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FOLDER",
        help=f"for the models, {_TABLE}, the predicted held-out cells, and where they differ",
    )
    parser.add_argument(
        "--architectures",
        nargs="+",
        default=[],
        metavar="NAME[:PRESET]",
        help="which to train, each with all of the budget; default: all that there are",
    )
    parser.add_argument(
        "--start-from",
        nargs="+",
        default=[],
        metavar="|".join([*START_MODELS, "MODEL"]),
        help="start models or model files to learn on from, each for its own architecture",
    )
    add_settings_flags(parser)


def run_compare(given: argparse.Namespace) -> dict[str, Any]:
    """Train each architecture on the same images, and say which is better and where they differ."""
    from napari_unet.core.contest import compete
    from napari_unet.core.entries import choose_entries
    from napari_unet.core.score_report import check_report, write_report
    from napari_unet.training_progress import run_until_ctrl_c

    table = given.output / _TABLE
    entries = choose_entries(given.architectures, given.start_from)
    config = read_settings(TrainConfig(), given)
    samples, validation, names = read_annotated(given)
    check_report(table)
    work = compete(entries, samples, config, given.output, validation=validation, class_names=names)
    try:
        outcome = run_until_ctrl_c(work, _tell)
    except KeyboardInterrupt:
        say(f"Stopped; the models so far are in {given.output}, and nothing is compared.")
        raise
    rows = [one.row() for one in outcome.standings]
    write_report(table, {}, rows)
    return {
        "comparison": rows,
        "differences": [tally.row() for tally in outcome.tallies],
        "not_trained": [{"model": name, "why": why} for name, why in outcome.failed.items()],
        "better": outcome.better,
        "conclusion": outcome.conclude(),
        "table": str(table),
    }


def _tell(event: ContestEvent) -> None:
    from napari_unet.core.metrics import Scored
    from napari_unet.core.standings import Failed
    from napari_unet.training_progress import tell_training

    if isinstance(event, Failed):
        say(f"{event.name} · not trained. {event.sentence}")
    elif isinstance(event.event, Scored):
        tell_score(event.name, event.event)
    else:
        tell_training(event.event, f"{event.name} · ")
