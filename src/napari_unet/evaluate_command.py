"""`napari-unet evaluate`: label files against the truth, or models side by side on images."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.core.config import PredictConfig
from napari_unet.core.errors import InputError
from napari_unet.flags import add_axes_flag, add_flags, find_unused, read_flags
from napari_unet.measure_command import check_target
from napari_unet.say import say

if TYPE_CHECKING:
    from napari_unet.core.metrics import Scored
    from napari_unet.core.types import Sample


def add_evaluate_flags(parser: argparse.ArgumentParser) -> None:
    """What `run_evaluate` reads."""
    parser.add_argument("--truth", nargs="+", required=True, metavar="PATH")
    judged = parser.add_mutually_exclusive_group(required=True)
    judged.add_argument(
        "--prediction",
        nargs="+",
        metavar="PATH",
        help="labels to score; cells of ROIs, COCO and GeoJSON that overlap count as wholes",
    )
    judged.add_argument(
        "--models", nargs="+", metavar="MODEL", help="predict --images with each and compare them"
    )
    parser.add_argument("--images", nargs="+", metavar="PATH", help="what --models predict")
    parser.add_argument(
        "--min-size", type=int, default=0, metavar="N", help="leave out debris on both sides, in px"
    )
    parser.add_argument("--per-image", action="store_true", help="also a row for each image")
    parser.add_argument(
        "--curve", action="store_true", help="also AP at IoU 0.5, 0.55 … 0.95 of each image"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="a report as .csv (images) or .json (all)"
    )
    parser.add_argument(
        "--tune",
        action="store_true",
        help="find threshold, least score and, where cells are found whole, overlap of --models on "
        "--images",
    )
    parser.add_argument("--save", action="store_true", help="store what --tune found in the models")
    add_axes_flag(parser)
    add_flags(parser, PredictConfig)


def run_evaluate(given: argparse.Namespace) -> dict[str, Any]:
    """Score predicted labels, or models, against true labels of the same stem."""
    from napari_unet.core.score_report import check_report

    _check(given)
    if given.output is not None:
        check_report(given.output)
    return _judge_models(given) if given.models else _judge_labels(given)


def _check(given: argparse.Namespace) -> None:
    if given.models and not given.images:
        raise InputError("--models need --images to predict: name files, a folder or a pattern.")
    if given.images and not given.models:
        raise InputError("--images are for --models: leave them out, or name models.")
    if given.tune and not given.models:
        raise InputError("--tune needs --models to tune.")
    if given.axes and given.models:
        raise InputError("--axes are for --prediction: --models predict images of one plane here.")
    if given.save and not given.tune:
        raise InputError("--save stores what --tune finds: give both.")


def _judge_labels(given: argparse.Namespace) -> dict[str, Any]:
    from napari_unet.core.evaluation import score_cells
    from napari_unet.core.file_pairs import match_stems
    from napari_unet.core.label_planes import find_size, open_cells, side_by_side
    from napari_unet.core.listing import expand
    from napari_unet.core.metrics import Scored, average

    pairs = match_stems(expand(given.truth, "truth"), expand(given.prediction, "predictions"))
    _check_output(given, pairs)
    scored = []
    for files in pairs:
        size = find_size(files, axes=given.axes)
        opened = ((file, open_cells(file, size, given.axes, say)) for file in files)
        for name, truth, predicted in side_by_side(*opened):
            scores = score_cells(tuple(truth), tuple(predicted), given.min_size)
            if scores is not None:
                scored.append(Scored(name, scores))
    result: dict[str, Any] = average([one.scores for one in scored])
    return _report(given, result, [("", scored)])


def _check_output(given: argparse.Namespace, pairs: Sequence[tuple[Path, Path]]) -> None:
    if given.output is not None:
        check_target(given.output, itertools.chain(*pairs))


def _judge_models(given: argparse.Namespace) -> dict[str, Any]:
    from napari_unet.core.card import read_card
    from napari_unet.core.file_pairs import pair_by_stem
    from napari_unet.core.listing import expand

    pairs = pair_by_stem(expand(given.images), expand(given.truth, "truth"))
    _check_output(given, pairs)
    for model in given.models:
        card = read_card(model)  # a name that is wrong is said before the first one has worked
        for sentence in find_unused(given, model, card):
            say(f"{sentence}.")
    config = read_flags(PredictConfig(), given)

    from napari_unet.core.checkpoint import load_model
    from napari_unet.core.evaluation import score_model, summarize
    from napari_unet.core.events import exhaust

    rows, judged, tuned = [], [], []
    for path in given.models:
        model = load_model(path, config.device)
        if given.tune:
            row, instances = _tune(given, path, model, pairs, config)
            tuned.append(row)
            used = dataclasses.replace(config, instances=instances)
        else:
            used = config
        work = score_model(model, _samples(pairs), used, given.min_size)
        scored = exhaust(work, lambda one, path=path: tell_score(path, one))
        judged.append((str(path), scored))
        rows.append({"model": str(path), **summarize(scored)})
    result: dict[str, Any] = {"models": rows}
    if tuned:
        result["tuned"] = tuned
    return _report(given, result, judged)


def _tune(
    given: argparse.Namespace,
    path: str,
    model: Any,
    pairs: Sequence[tuple[Path, Path]],
    config: PredictConfig,
) -> tuple[dict[str, Any], Any]:
    """A row of what was found, and how cells are made from now on; the file only with --save."""
    from napari_unet.core.card import write_card
    from napari_unet.core.evaluation import tune_model
    from napari_unet.core.events import exhaust

    tuned = exhaust(tune_model(model, _samples(pairs), config, given.min_size))
    say(f"{path} · {tuned}")
    changed = tuned.after != model.card.instances
    if given.save and changed:
        write_card(path, dataclasses.replace(model.card, instances=tuned.after))
        say(f"{path} · stored in the model")
    elif changed:
        say(f"{path} · not stored: --save stores it in the model")
    row = {
        "model": path,
        **tuned.values,
        "mean_ap_before": tuned.scores_before["mean_ap"],
        "mean_ap_best": tuned.scores_best["mean_ap"],
        "may_be_chance": tuned.margin,
        "saved": given.save and changed,
    }
    return row, tuned.after


def _samples(pairs: Sequence[tuple[Path, Path]]) -> Iterator[Sample]:
    from napari_unet.core.annotation import check_labels
    from napari_unet.core.formats import read_one
    from napari_unet.core.pixels import read_image
    from napari_unet.core.types import Sample

    for path, truth in pairs:
        image = read_image(path)
        size = image.shape[1], image.shape[2]
        labelled = read_one(truth, size)
        for remark in labelled.remarks:
            say(f"{truth.name}: {remark}")
        labels = check_labels(labelled.labels, size, str(truth))
        yield Sample(image, labels, name=str(path))


def _report(
    given: argparse.Namespace,
    result: dict[str, Any],
    judged: Sequence[tuple[str, Sequence[Scored]]],
) -> dict[str, Any]:
    """Add the tables that were asked for, and write the file; a report as JSON has them all."""
    from napari_unet.core.score_report import curve_rows, image_rows, write_report

    tables: dict[str, list[dict[str, Any]]] = {"per_image": [], "curve": []}
    for name, scored in judged:
        names, scores = [Path(one.name).name for one in scored], [one.scores for one in scored]
        model = {"model": name} if name else {}
        seconds = [{"seconds": one.seconds} if name else {} for one in scored]
        rows = image_rows(names, scores)
        tables["per_image"] += [
            {**model, **row, **took} for row, took in zip(rows, seconds, strict=True)
        ]
        tables["curve"] += [{**model, **row} for row in curve_rows(names, scores)]
    if given.output is not None:
        write_report(given.output, {**result, **tables}, _with_curve(given, tables))
    asked = {"per_image": given.per_image, "curve": given.curve}
    return result | {key: rows for key, rows in tables.items() if asked[key]}


def _with_curve(
    given: argparse.Namespace, tables: dict[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """The rows of a CSV: one for each image, with its curve where that was asked for."""
    if not given.curve:
        return tables["per_image"]
    curves = {(row.get("model"), row["image"]): row for row in tables["curve"]}
    return [{**curves[row.get("model"), row["image"]], **row} for row in tables["per_image"]]


def tell_score(model: str, one: Scored) -> None:
    """Say how a model did on one image."""
    scores = one.scores.summary()
    say(f"{model} · {one.name} · AP50 {scores['ap50']:.3f} · {one.seconds:.1f} s")
