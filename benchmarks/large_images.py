"""Large images: how fast beside the bare network and beside MONAI, how much memory, and kill -9.

    python benchmarks/large_images.py speed  [--size 8192] [--device auto]
    python benchmarks/large_images.py monai  [--size 4096] [--device auto]
    python benchmarks/large_images.py memory [--sizes 2048 32768] [--model nuclei]
    python benchmarks/large_images.py peers  [--size 2048] [--minutes 3]
    python benchmarks/large_images.py kills  [--kills 20]
    python benchmarks/large_images.py paint  [--size 8192]

- speed: an image of synthetic nuclei in a zarr, float32, against the forward passes alone on
  tensors that are ready: of the same tiles with the context they need, and without it. The maps
  and the labels apart.
- monai: the maps alone, against `monai.inferers.sliding_window_inference` at its default overlap
  of 0.25 over the same image in memory, with the same network, in windows of `--window` px: in the
  same precision, and in float32, as its tutorials have it. Needs MONAI.
- memory: highest resident memory above that of the process with the model loaded, each size in a
  process of its own. Most of the image is empty; nothing is left out for that.
- peers: image in memory to labels, by StarDist and Cellpose with their own networks, trained on one
  crop of it for some minutes, and their own tiling, and by the models of the package into a zarr;
  the processor's seconds too, and AP50 against the truth of the sample. Needs what `peers.py` says.
- kills: a prediction is killed at a random moment and called again, until it is through; then the
  next one, until so many were killed. The labels have to be those of one that was left alone.
- paint: training from the model on cells painted in a complete region of 512² of the image, against
  the same in an image of 1024²: seconds until the first step is done, the time between two steps
  in which a stroke is taken in, and memory above that of the process with the image.

`--folder` names a disk with room for the images. Needs a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen

import numpy as np
import psutil
import torch
import zarr

from napari_unet.core.allocation import keep_freed_memory
from napari_unet.core.checkpoint import load_model
from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.core.device import DeviceReport, resolve_device
from napari_unet.core.events import exhaust
from napari_unet.core.large_prediction import predict_large
from napari_unet.core.lazy_image import open_image
from napari_unet.core.metrics import evaluate
from napari_unet.core.models.base import Segmenter
from napari_unet.core.prediction import autocast, place
from napari_unet.core.samples import make_sample
from napari_unet.core.tiling import grid
from napari_unet.core.training import train
from napari_unet.core.types import BlockLabelled, ChunkWritten, Looking, Sample, Stepped, TileDone
from peers import PEERS

_CELLS = 512  # px: edge of the part that is repeated
_CHUNK = 512
_SIZES = {"monai": 4096, "peers": 2048}


def make_image(path: Path, size: int, every: int = 1) -> Path:
    """A zarr of synthetic nuclei; with `every` > 1 only in each so many-th chunk of each axis."""
    image = make_sample("fluorescence", (_CELLS, _CELLS)).image[0].astype(np.float32)
    array = zarr.create_array(
        path, shape=(size, size), chunks=(_CHUNK, _CHUNK), dtype="float32", fill_value=0
    )
    for y in range(0, size, every * _CHUNK):
        for x in range(0, size, every * _CHUNK):
            height, width = min(_CHUNK, size - y), min(_CHUNK, size - x)
            array[y : y + height, x : x + width] = image[:height, :width]
    return path


def time_stages(
    model: str, image: Path, output: Path, config: PredictConfig
) -> dict[str, tuple[float, float]]:
    """Seconds, and those of the processor, of each stage of a prediction."""
    ends, before = {}, (time.perf_counter(), time.process_time())
    names = {Looking: "look", TileDone: "maps", BlockLabelled: "labels", ChunkWritten: "numbers"}
    for event in predict_large(model, open_image(image), output, config):
        ends[names[type(event)]] = time.perf_counter(), time.process_time()
    stages = {}
    for name, now in ends.items():
        stages[name], before = (now[0] - before[0], now[1] - before[1]), now
    return stages


def fitted(model: str, config: PredictConfig) -> Segmenter:
    """The network as it sees the synthetic nuclei, on its device."""
    loaded = load_model(model, config.device)
    segmenter = loaded.segmenter.fit(1, len(loaded.card.classes), 1.0)
    place(segmenter.net, resolve_device(config.device, config.precision)).eval()
    return segmenter


def time_bare(
    segmenter: Segmenter, size: int, config: PredictConfig, context: int
) -> tuple[float, float]:
    """Seconds, and those of the processor, of the forward passes over so large an image."""
    where = resolve_device(config.device, config.precision)
    edge = segmenter.tile_edge(config.tile or segmenter.tile)
    tiles = grid((size, size), edge, context, segmenter.stride)
    batches = {tile.size: torch.rand(1, 1, *tile.size, device=where.device) for tile in tiles}
    batches = {
        size: batch.contiguous(memory_format=torch.channels_last) for size, batch in batches.items()
    }
    with torch.inference_mode(), autocast(where):
        for batch in 2 * list(batches.values()):
            segmenter.net(batch)
        _wait(where.device)
        begin, busy = time.perf_counter(), time.process_time()
        for tile in tiles:
            segmenter.net(batches[tile.size])
        _wait(where.device)
    return time.perf_counter() - begin, time.process_time() - busy


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def measure_speed(given: argparse.Namespace, folder: Path) -> None:
    config = PredictConfig(device=given.device, tile=given.tile)
    image = make_image(folder / "image.zarr", given.size)
    segmenter = fitted(given.model, config)
    rows = {
        "bare": time_bare(segmenter, given.size, config, segmenter.tile_context),
        "bare, without context": time_bare(segmenter, given.size, config, 0),
        **time_stages(given.model, image, folder / "out.zarr", config),
        "bare again": time_bare(segmenter, given.size, config, segmenter.tile_context),
    }
    tile = given.tile or segmenter.tile
    print(resolve_device(given.device).words, f"{given.size}² px, tiles of {tile} px")
    for name, (wall, busy) in rows.items():
        pace = given.size**2 / wall / 1e6
        ratios = rows["bare"][0] / wall, rows["bare"][1] / busy
        print(
            f"{name}: {wall:.1f} s, {pace:.2f} Mpx/s, "
            f"bare ÷ it {ratios[0]:.2f} ({ratios[1]:.2f} of processor time)"
        )


def measure_monai(given: argparse.Namespace, folder: Path) -> None:
    from monai.inferers import sliding_window_inference

    config = PredictConfig(device=given.device, tile=given.tile)
    where = resolve_device(config.device, config.precision)
    image = make_image(folder / "image.zarr", given.size)
    segmenter = fitted(given.model, config)
    array = zarr.open_array(image, mode="r")[:]
    whole = torch.from_numpy((array - array.min()) / np.ptp(array))[None, None].to(where.device)

    def infer(part: torch.Tensor, how: DeviceReport) -> tuple[float, float]:
        begin, busy = time.perf_counter(), time.process_time()
        with torch.inference_mode(), autocast(how):
            sliding_window_inference(part, (given.window,) * 2, 1, segmenter.net, overlap=0.25)
        _wait(where.device)
        return time.perf_counter() - begin, time.process_time() - busy

    ours = time_stages(given.model, image, folder / "out.zarr", config)["maps"]
    print(where.words, f"{given.size}² px, window {given.window} px, overlap 0.25")
    for how in (where, resolve_device(config.device, "float32")):
        infer(whole[..., : given.window, : given.window], how)
        monai = infer(whole, how)
        print(
            f"MONAI in {how.precision} {monai[0]:.1f} s, our maps {ours[0]:.1f} s: "
            f"{monai[0] / ours[0]:.2f} × ({monai[1] / ours[1]:.2f} × of processor time)",
            flush=True,
        )


def measure_peers(given: argparse.Namespace, folder: Path) -> None:
    sample = make_sample("fluorescence", (_CELLS, _CELLS))
    crop = sample.image[:, :256, :256], sample.labels[:256, :256]
    times = -(-given.size // _CELLS)
    image = np.tile(sample.image, (1, times, times))[:, : given.size, : given.size]
    truth = _repeat_labels(sample.labels, times)[: given.size, : given.size]
    stored = make_image(folder / "image.zarr", given.size)
    for model in ("nuclei", "nuclei-mask-rcnn"):
        begin, busy = time.perf_counter(), time.process_time()
        exhaust(predict_large(model, open_image(stored), folder / f"{model}.zarr", PredictConfig()))
        took = time.perf_counter() - begin, time.process_time() - busy
        found = zarr.open_group(folder / f"{model}.zarr", mode="r")["0"][:]
        _show_peer(model, given.size, took, evaluate(truth, found)["ap50"])
    for name in ("stardist", "cellpose"):
        find = PEERS[name]([crop], given.minutes, 0)
        find(crop[0])  # what compiles does it now
        begin, busy = time.perf_counter(), time.process_time()
        found = np.asarray(find(image)).astype(np.int32)
        took = time.perf_counter() - begin, time.process_time() - busy
        _show_peer(name, given.size, took, evaluate(truth, found)["ap50"])


def _repeat_labels(labels: np.ndarray, times: int) -> np.ndarray:
    """The labels of an image that is repeated, each time with numbers of its own."""
    step = int(labels.max())
    rows = [
        np.hstack([np.where(labels > 0, labels + step * (times * i + j), 0) for j in range(times)])
        for i in range(times)
    ]
    return np.vstack(rows)


def _show_peer(name: str, size: int, took: tuple[float, float], ap50: float) -> None:
    pace = size**2 / took[0] / 1e6
    print(
        f"{name}: {took[0]:.1f} s ({took[1]:.1f} s of the processor), {pace:.2f} Mpx/s, "
        f"AP50 {ap50:.3f}",
        flush=True,
    )


def measure_memory(given: argparse.Namespace, folder: Path) -> None:
    for size in given.sizes:
        image = make_image(folder / f"{size}.zarr", size, every=8)
        command = [*(sys.executable, __file__, "peak", "--image", str(image)),
                   *("--model", given.model, "--device", given.device)]  # fmt: skip
        if given.tile:
            command += ["--tile", str(given.tile)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        found = json.loads(done.stdout)
        print(f"{size}² px: {found['above']:.0f} MB above {found['before']:.0f}", flush=True)


def measure_peak(given: argparse.Namespace, folder: Path) -> None:
    """One prediction; what it added to the resident memory at its height, in MB."""
    config = PredictConfig(device=given.device, tile=given.tile)
    fitted(given.model, config)
    before = psutil.Process().memory_info().rss
    time_stages(given.model, given.image, folder / "out.zarr", config)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"before": before / 1e6, "above": (peak - before) / 1e6}))


def measure_kills(given: argparse.Namespace, folder: Path) -> None:
    image = make_image(folder / "image.zarr", 2048)
    base = [*(sys.executable, "-m", "napari_unet.cli", "predict", given.model, str(image)),
            *("--device", given.device, "-o")]  # fmt: skip
    for name in ("first", "whole"):  # the first one pays for what is compiled
        begin = time.perf_counter()
        subprocess.run([*base, str(folder / name)], check=True, capture_output=True)
        lasts = time.perf_counter() - begin
    whole = zarr.open_group(folder / "whole" / "image.zarr", mode="r")["0"][:]
    chance, kills, rounds, same = random.Random(0), 0, 0, 0
    while kills < given.kills:
        output = folder / f"round{rounds}"
        while not _ends(Popen([*base, str(output)], stderr=DEVNULL), chance.uniform(0, lasts)):
            kills += 1
        found = zarr.open_group(output / "image.zarr", mode="r")["0"][:]
        rounds, same = rounds + 1, same + np.array_equal(found, whole)
        print(f"{same} of {rounds} the same, {kills} kills", flush=True)


def measure_paint(given: argparse.Namespace, folder: Path) -> None:
    config = TrainConfig(steps=100, device=given.device)
    cells = make_sample("fluorescence", (_CELLS, _CELLS))
    for _ in train([cells], TrainConfig(steps=1, device=given.device), start_from=given.model):
        pass  # what is loaded and compiled once
    for size in (2 * _CELLS, given.size):
        labels, complete = np.zeros((size, size), np.int32), np.zeros((size, size), bool)
        labels[:_CELLS, :_CELLS], complete[:_CELLS, :_CELLS] = cells.labels, True
        times = -(-size // _CELLS)
        image = np.tile(cells.image, (1, times, times))[:, :size, :size]
        sample = Sample(image, labels, complete)
        before, begin = psutil.Process().memory_info().rss, time.perf_counter()
        work = train([sample], config, start_from=given.model)
        ends: list[float] = []
        while len(ends) < 5:
            if isinstance(next(work), Stepped):
                ends.append(time.perf_counter() - begin)
        while not isinstance(work.send([sample]), Stepped):
            pass
        stroke = time.perf_counter() - begin - ends[-1]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(
            f"{size}² px: first step after {ends[0]:.2f} s, a step with a stroke {stroke:.2f} s "
            f"(without {ends[-1] - ends[-2]:.2f} s), {(peak - before) / 1e6:.0f} MB",
            flush=True,
        )
        work.close()


def _ends(process: Popen[bytes], seconds: float) -> bool:
    """Whether a process gets through by then; else it is killed."""
    with process:
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            return False
    if code:
        raise SystemExit(f"a prediction ended with {code}")
    return True


@contextmanager
def make_folder(given: argparse.Namespace) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        yield Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, function in (
        ("speed", measure_speed),
        ("monai", measure_monai),
        ("memory", measure_memory),
        ("peers", measure_peers),
        ("peak", measure_peak),
        ("kills", measure_kills),
        ("paint", measure_paint),
    ):
        command = commands.add_parser(name)
        command.set_defaults(command=function)
        command.add_argument("--model", default="nuclei")
        command.add_argument("--device", default="auto")
        command.add_argument("--folder", type=Path)
        command.add_argument("--tile", type=int)
        command.add_argument("--size", type=int, default=_SIZES.get(name, 8192))
        command.add_argument("--sizes", type=int, nargs="+", default=[2048, 32768])
        command.add_argument("--window", type=int, default=256)
        command.add_argument("--kills", type=int, default=20)
        command.add_argument("--minutes", type=float, default=3)
        command.add_argument("--image", type=Path)
        command.add_argument("--return-memory", action="store_true", help="as a plain process does")
    given = parser.parse_args()
    if not given.return_memory:  # as the command line and the panels keep it
        keep_freed_memory()
    with make_folder(given) as folder:
        given.command(given, folder)


if __name__ == "__main__":
    main()
