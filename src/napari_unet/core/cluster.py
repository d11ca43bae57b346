"""Parts of a large work on the workers of a dask.distributed cluster."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from napari_unet.core.errors import InputError

_WAIT = 20  # seconds for a scheduler to answer


class Cluster:
    """A cluster that parts of a work are sent to, a few more than it has hands."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def run(
        self, part: Callable[..., int], items: Iterable[tuple[Any, ...]]
    ) -> Generator[int, None, None]:
        """Call `part` with each of `items` on some worker, and give what it returns when it has.

        What was under way on a worker that dies is done on another. `close()` drops what has not
        begun.

        Raises
        ------
        InputError
            If a part says so, or workers die at the same one again and again.
        """
        from distributed import KilledWorker, as_completed

        waiting = iter(items)
        hands = max(1, sum(self._client.nthreads().values()))
        futures = {self._send(part, item) for item in itertools.islice(waiting, 2 * hands)}
        completed = as_completed(list(futures))
        try:
            for future in completed:
                futures.discard(future)
                yield future.result()
                for item in itertools.islice(waiting, 1):
                    new = self._send(part, item)
                    futures.add(new)
                    completed.add(new)
        except KilledWorker as error:
            raise InputError(
                "Several workers died at the same part of the image: give them more memory."
            ) from error
        finally:
            self._client.cancel(list(futures))

    def _send(self, part: Callable[..., int], item: tuple[Any, ...]) -> Any:
        return self._client.submit(part, *item, pure=False)


@contextmanager
def connect(scheduler: str | None) -> Iterator[Cluster | None]:
    """A cluster for a while.

    Parameters
    ----------
    scheduler : str, optional
        Address of a running one, or "local" for one process a core of this machine; None for none.

    Raises
    ------
    InputError
        If distributed is not installed, or nothing answers there.
    """
    if scheduler is None:
        yield None
        return
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise InputError(
            'A cluster needs distributed: run `pip install "napari-unet-cells[cluster]"` first.'
        ) from error
    if scheduler == "local":
        with (
            LocalCluster(threads_per_worker=1, processes=True, dashboard_address=":0") as workers,
            Client(workers) as client,
        ):
            yield Cluster(client)
        return
    try:
        client = Client(scheduler, timeout=_WAIT)
    except (OSError, ValueError) as error:
        raise InputError(
            f"No dask scheduler answers at {scheduler}: start one with `dask scheduler`, or leave "
            "--scheduler out."
        ) from error
    with client:
        yield Cluster(client)
