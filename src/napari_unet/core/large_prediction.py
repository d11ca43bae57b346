"""Predicting an image of any size: lazily read, in bounded memory, resumable, on many machines.

First what the network says, tile by tile, into a folder (`tile_store`); then the cells of each
block, exactly those of labelling the whole image at once (`block_labels` of maps,
`block_candidates` of whole cells that were found); then their numbers, and the pyramid.

Memory beyond that of the model: the larger of

    tiles    (A + 12·C + 8·M)·(t + 2c)²
    blocks   65·w² of maps, or k·(60·w² + n·(800 + 5·d²)) of whole cells

for C channels, M maps, tiles of t px and a context of c px, with A bytes a pixel of the network's
own: about 70 of a U-Net, and 150 MB for the strip of rows that it has in hand, however large the
tile; 600 of the light network that finds whole cells, which has no maps, and up to 64 MB more while
it draws them. w is the edge of the window in which cells are looked at: of maps `BLOCK` + 2·`HALO`
px where they are small, two of them at a time, and `WIDEST` at most; of whole cells, in k threads,
the block with all of those that reach into it, and of the tiles there all n candidates, of about
d px, are read. On top of it come 64 bytes a cell while they are numbered. Nothing else grows with
the image but some bytes a tile and a block.
An image of compressed strips is decompressed in whole strips.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_unet.core import large_stages as stages
from napari_unet.core.allocation import return_freed_memory
from napari_unet.core.block_labels import BLOCK
from napari_unet.core.checkpoint import Model, load_model
from napari_unet.core.cluster import Cluster, connect
from napari_unet.core.config import PredictConfig
from napari_unet.core.errors import InputError
from napari_unet.core.formats.labelled import WriteShapes
from napari_unet.core.large_job import Job, begin, finish, hash_file, read_job, refuse_other
from napari_unet.core.lazy_image import LazyImage, find_percentiles, take_sample
from napari_unet.core.models.base import Segmenter
from napari_unet.core.ngff import make_labels, mark_finished, open_levels
from napari_unet.core.prediction import fit_channels, look_for_zoom
from napari_unet.core.regions import shift
from napari_unet.core.room import THREADS
from napari_unet.core.start_models import find_model_file
from napari_unet.core.types import (
    BlockLabelled,
    ChunkWritten,
    LargeEvent,
    LargePrediction,
    PredictEvent,
    Resumed,
    TileDone,
    Warned,
)
from napari_unet.core.windows import take_middle, take_window


def predict_large(
    model: Path | str,
    image: LazyImage,
    output: Path | str,
    config: PredictConfig | None = None,
    *,
    scheduler: str | None = None,
    keep_maps: bool = False,
    write_wholes: WriteShapes | None = None,
    block: int = BLOCK,
) -> Generator[LargeEvent, None, LargePrediction]:
    """Predict the cells of an image into an OME-Zarr.

    However it stops, the result can be read as far as it has come, and the same call goes on.

    Parameters
    ----------
    model : path, or the name of a start model
    image : LazyImage
    output : path
        Ends in .zarr; a prediction of ours that is there already is replaced.
    config : PredictConfig, optional
    scheduler : str, optional
        Address of a dask.distributed scheduler whose workers see the same files, or "local" for
        one process a core of this machine. This process alone by default.
    keep_maps : bool
        Keep what the network says: with another threshold the same call only labels.
    write_wholes : callable, optional
        Is given each cell as a whole, one after the other, when all are known.
    block : int
        Edge in pixels of what is labelled at a time, and of the chunks of the result.

    Yields
    ------
    Looking
        With a model for cells of any size, first.
    Resumed
        Where some of it was done before.
    TileDone, BlockLabelled, ChunkWritten
        When each is on disk, in any order within its stage.

    Returns
    -------
    LargePrediction

    Raises
    ------
    InputError
        If the image does not fit the model, cannot be normalised or holds NaN, if the result
        cannot be written, or what is there was begun with another model, image or settings.
    """
    config = config or PredictConfig()
    file = find_model_file(model)
    loaded = load_model(file, config.device)
    job, segmenter = yield from _plan(loaded, file, image, Path(output), config, block)
    net = stages.TileNet(dataclasses.replace(loaded, segmenter=segmenter), job)
    work = _carry_out(job, net, image, scheduler)
    names = loaded.card.classes
    del loaded, segmenter, net  # what comes after the tiles needs the memory
    try:
        anchors = yield from work
        mark_finished(Path(job.output))
        if write_wholes is not None:
            write_wholes(stages.list_wholes(job, anchors, names))
        finish(job, keep_maps=keep_maps)
    except OSError as error:  # such as a full disk: what is there is whole, and known as done
        reason = error.strerror or str(error)
        raise InputError(
            f"{job.output} is not finished ({reason}): see to the disk, then the same command "
            "goes on where it was."
        ) from error
    return LargePrediction(job.output, len(anchors))


def _carry_out(
    job: Job, net: stages.TileNet, image: LazyImage, scheduler: str | None
) -> Generator[LargeEvent, None, NDArray[np.int64]]:
    """Write all of the result; the anchors of the cells in the order of their numbers."""
    begin(job)
    stages.open_store(job).create()
    make_labels(
        Path(job.output), (job.shape[1], job.shape[2]), job.block, image.pixel_size, image.unit,
        {"model": Path(job.model).name, "sha256": job.model_hash, "finished": False},
    )  # fmt: skip
    with connect(scheduler) as cluster:
        yield from _map(job, image, net, cluster)
        del net
        return_freed_memory()
        yield from _label(job, cluster)
        return (yield from _number(job, cluster))


def _plan(
    model: Model, file: Path, image: LazyImage, output: Path, config: PredictConfig, block: int
) -> Generator[PredictEvent, None, tuple[Job, Segmenter]]:
    """The job, and the network fitted to it."""
    card, before = model.card, read_job(output)
    segmenter = fit_channels(model, image.shape[0], image.name)
    sample = take_sample(image)
    pairs = find_percentiles(image, card.normalize, sample)
    if before is not None:
        segmenter = segmenter.fit(image.shape[0], len(card.classes), before.zoom)
    elif card.any_size:
        segmenter = yield from _look(model, segmenter, image, pairs, config)
    if before is not None and config.tile is None:
        tile = before.tile  # whatever a later version would choose
    else:
        tile = segmenter.tile_edge(config.tile or segmenter.tile)
    job = Job(
        model=str(file.absolute()),
        model_hash=hash_file(file),
        shape=image.shape,
        dtype=str(image.array.dtype),
        sample_hash=zlib.crc32(sample.tobytes()),
        percentiles=tuple((float(black), float(white)) for black, white in pairs),
        zoom=1 / segmenter.pixel,
        architecture=segmenter.name,
        maps=segmenter.maps,
        classes=len(card.classes),
        tile=tile,
        context=segmenter.tile_context,
        stride=segmenter.stride,
        tta=config.tta,
        instances=config.instances or card.instances,
        device=config.device,
        precision=config.precision,
        output=str(output.absolute()),
        block=block,
    )
    if before is not None:
        refuse_other(before, job)
    return job, segmenter


def _look(
    model: Model,
    segmenter: Segmenter,
    image: LazyImage,
    pairs: NDArray[np.float64],
    config: PredictConfig,
) -> Generator[PredictEvent, None, Segmenter]:
    """The network at the zoom that suits the cells, of which the middle of the image tells."""
    count, *shape = image.shape
    region = take_middle((shape[0], shape[1]))
    window = take_window(model.card, region, (shape[0], shape[1]))
    part, inner = image.read(window), shift(region, -window[0].start, -window[1].start)
    zoom = yield from look_for_zoom(model, part, inner, config, grey=pairs, name=image.name)
    return_freed_memory()
    return segmenter.fit(count, len(model.card.classes), zoom)


def _map(
    job: Job, image: LazyImage, net: stages.TileNet, cluster: Cluster | None
) -> Generator[LargeEvent, None, None]:
    tiles, todo = job.tiles(), stages.tiles_to_do(job)
    done, blocks = len(tiles) - len(todo), len(job.blocks())
    if done:
        yield Resumed(done, blocks - len(stages.blocks_to_do(job)))
    if cluster is None:
        work = _map_here(job, image, net, todo)
    else:
        work = cluster.run(partial(stages.map_tile, job, image), [(i,) for i in todo])
    edge = net.edge
    with closing(work) as finished:
        for count, index in enumerate(finished, done + 1):
            yield TileDone(count, len(tiles), tiles[index].write)
            if net.edge < edge:
                edge = net.edge
                yield Warned(
                    f"The memory of {net.where.name} ran out: "
                    f"predicting goes on in tiles of {edge} px."
                )


def _map_here(
    job: Job, image: LazyImage, net: stages.TileNet, todo: list[int]
) -> Generator[int, None, None]:
    """One tile after the other; the next is read and the last is written meanwhile."""
    if not todo:
        return
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        reading = reader.submit(stages.read_tile, job, image, todo[0])
        writing = None
        for index, following in zip(todo, [*todo[1:], None], strict=True):
            window = reading.result()
            if following is not None:
                reading = reader.submit(stages.read_tile, job, image, following)
            evidence = net.predict(window, job.tiles()[index], job.tta)
            if writing is not None:
                yield writing.result()
            writing = writer.submit(stages.write_tile, job, index, evidence)
        if writing is not None:
            yield writing.result()


def _label(job: Job, cluster: Cluster | None) -> Generator[LargeEvent, None, None]:
    blocks, todo = job.blocks(), stages.blocks_to_do(job)
    with closing(_run(cluster, partial(stages.label_part, job), [(i,) for i in todo])) as finished:
        for done, index in enumerate(finished, len(blocks) - len(todo) + 1):
            yield BlockLabelled(done, len(blocks), blocks[index])


def _number(job: Job, cluster: Cluster | None) -> Generator[LargeEvent, None, NDArray[np.int64]]:
    """Number the cells in the order of their anchors, and write the result, level by level."""
    tables = [stages.read_table(job, i) for i in range(len(job.blocks()))]
    cut = sum(bool(table["is_cut"]) for table in tables)
    if cut:
        yield Warned(
            f"In {cut} of {len(tables)} blocks of {job.block} px cells hang together over more "
            "than a window shows: some may be cut where blocks meet. A higher threshold parts them."
        )
    named = [table["anchors"] for table in tables]
    anchors, first = np.unique(np.concatenate(named), return_index=True)
    if len(anchors) > np.iinfo(np.int32).max:
        raise InputError(f"{len(anchors)} cells are more than labels can be numbered in int32.")
    group = zarr.open_group(job.output, mode="r+").require_group("cells")
    for name, key in (("class", "classes"), ("score", "scores")):
        values = np.concatenate([table[key] for table in tables])[first]
        group.create_array(name, data=values, overwrite=True)
    levels = len(open_levels(Path(job.output)))
    total = sum(len(job.blocks(level)) for level in range(levels))
    done = 0
    for level in range(levels):
        todo = stages.chunks_to_do(job, level)
        done += len(job.blocks(level)) - len(todo)
        if level:
            work = _run(cluster, partial(stages.shrink_part, job, level), [(i,) for i in todo])
        else:
            numbered = (
                (i, (np.searchsorted(anchors, named[i]) + 1).astype(np.int32)) for i in todo
            )
            work = _run(cluster, partial(stages.number_part, job), numbered)
        with closing(work) as finished:
            for _ in finished:
                done += 1
                yield ChunkWritten(done, total)
    return anchors


def _run(
    cluster: Cluster | None, part: Callable[..., int], items: Iterable[tuple[Any, ...]]
) -> Generator[int, None, None]:
    """Do a part of the work with each item, in threads of this process or on a cluster.

    Yields what is done; when closed, what has not begun is left undone.
    """
    if cluster is None:
        with ThreadPoolExecutor(THREADS) as threads:
            yield from threads.map(lambda item: part(*item), items)
    else:
        yield from cluster.run(part, items)
