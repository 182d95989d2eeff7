"""Worker processes that train models in parallel and exit with their parent."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import torch

from seqbelt.errors import SeqbeltError
from seqbelt.tracking.run import close_open_runs
from seqbelt.training.interrupts import SIGNALS, stop_signals_raised
from seqbelt.workflow import console

Result = TypeVar("Result")


def run_in_workers(
    work: Callable[..., Result], jobs: Sequence[tuple], num_workers: int
) -> Iterator[tuple[int, Result]]:
    """Call ``work(*job)`` for each job in a pool of processes; yields job number and result.

    A job is a tuple of plain values (``Settings.to_dict()``), which every process can unpickle.
    Results are yielded in the order of completion. On Ctrl-C the workers save their state, then
    KeyboardInterrupt is raised here. Raises SeqbeltError if a worker process dies.
    """
    if not jobs:
        return
    num_workers = min(num_workers, len(jobs))
    threads = max(1, torch.get_num_threads() // num_workers)
    # A forked process can hang after its parent has used threads.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        num_workers, context, _initialize_worker, (threads, console.logger.getEffectiveLevel())
    )
    try:
        numbers: dict[Future[Result], int] = {
            pool.submit(_run_job, work, *job): number for number, job in enumerate(jobs)
        }
        for future in as_completed(numbers):
            yield numbers[future], future.result()
    except KeyboardInterrupt:
        # SIGTERM, or a Ctrl-C sent only to this process, has not reached the workers.
        for process in list(pool._processes.values()):
            if process.pid is not None:
                with contextlib.suppress(OSError):
                    os.kill(process.pid, signal.SIGINT)
        raise
    except BrokenProcessPool:
        raise SeqbeltError(
            "a worker process was killed (out of memory?); lower num_workers and run the same "
            "command again to continue"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _initialize_worker(threads: int, log_level: int) -> None:
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for libraries loaded later
    # Between two jobs the parent handles signals.
    for name in SIGNALS:
        signal.signal(name, signal.SIG_IGN)
    console.start_worker_logging(log_level)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _run_job(work: Callable[..., Result], *job: object) -> Result:
    """Run one job; a stop signal interrupts it and closes its runs."""
    # During training the loop handles the signal, after the current step.
    for name in SIGNALS:
        signal.signal(name, signal.SIG_DFL)  # otherwise they stay ignored
    try:
        with stop_signals_raised():
            return work(*job)
    except BaseException as error:
        close_open_runs("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    finally:
        for name in SIGNALS:
            signal.signal(name, signal.SIG_IGN)


def _exit_with_parent() -> None:
    """Exit when the parent dies: a killed parent cannot stop its workers."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
