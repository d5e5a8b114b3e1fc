"""Plan the outputs of a command, and process several inputs at a time."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress

import click

from cotam import files
from cotam.screen import Report, Screen

__all__ = ["prepare_outputs", "report_skipped", "run"]


def run(
    pairs: Sequence[tuple[str, str]], work: Callable[[str, str, Report], None], *, jobs: int, screen: Screen
) -> None:
    """Call ``work`` with each input, output and `Report`; one that fails does not stop the others.

    Inputs share one codec in threads: processes take a third longer for 24 images, since they have to start.
    """

    def one(pair: tuple[str, str]) -> None:
        with screen.reporting(pair[0]) as report:
            work(*pair, report)

    in_threads = min(jobs, len(pairs)) > 1
    try:
        with screen.progress(len(pairs)) as advance, ExitStack() as stack:
            results: Iterable[None] = map(one, pairs)
            if in_threads:
                from concurrent.futures import ThreadPoolExecutor

                pool = ThreadPoolExecutor(jobs)
                stack.callback(pool.shutdown, wait=False, cancel_futures=True)
                results = pool.map(one, pairs)
            for _ in results:
                advance(1)
    except KeyboardInterrupt as interrupt:
        if in_threads:  # which would first finish their images, for many seconds if these are large
            with suppress(KeyboardInterrupt):  # a second one ends the wait
                screen.writing.end(timeout=5)  # in case a thread waits for the reader of a named pipe
            if interrupt.args in ((), (signal.SIGINT,)):
                os._exit(130)
        raise  # other signals then end the process themselves


def prepare_outputs(
    inputs: Sequence[str], output: str | None, suffix: str, screen: Screen, **rule: bool
) -> list[tuple[str, str]]:
    """Plan outputs as `files.plan_outputs`, and make their folder.

    Raises click.UsageError also if an output would go to a terminal.
    """
    try:
        pairs, skipped = files.plan_outputs(inputs, output, suffix, **rule)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if any(target == files.STANDARD for _, target in pairs) and sys.stdout and sys.stdout.isatty():
        raise click.UsageError("standard output is a terminal: give an output with -o, or redirect it")
    report_skipped(skipped, screen)
    files.make_folder(output)
    return pairs


def report_skipped(skipped: Mapping[str, str], screen: Screen) -> None:
    """Report inputs that are left out: input → reason."""
    for source, reason in skipped.items():
        with screen.reporting(source) as report:
            report.note(reason)
