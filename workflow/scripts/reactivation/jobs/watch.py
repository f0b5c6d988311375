"""What a person sees while a study runs: jobs done and left, and how far the running ones have come.

The last line of a job's log says how far the job is, and is shown unchanged. A job on another machine writes its log to
a shared file system. Nothing here touches results; a failure here ends only the display.
"""

import atexit
import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

EVERY = 30  # seconds between plain lines
LOOK = 1  # seconds between looks, if there is a terminal; more if looks would take over 5 % of the time
MOST = 20  # the most jobs that plain lines name
FREE = 3  # columns left free at the end of a terminal's lines
PLAIN = "plain_progress"  # marks log records that a terminal with bars does not need
NOTHING = "not started yet"  # for a job whose log has no line
LONG = {"train", "ntk", "function"}  # rules whose jobs give the time left; jobs of the others take seconds
# Left out of a job's name: the rule, which its line shows anyway, and the hash, which tells people nothing.
SPARE = re.compile("^(train|ntk|function)/|-[0-9a-f]{10}")
COUNT = re.compile(r"(?:^|\s)(\d+(?:\.\d+)?)/(\d+)(?=\s|$)")  # a count such as 12/40 in a line


@dataclass
class Progress:
    """The progress of all jobs of one call of Snakemake."""

    done: int
    total: int
    failed: int
    share: float  # the share of trainings and kernels that is done
    seconds: float  # so far
    running: list[tuple[str, str]]  # name and last line of each; jobs with a line first, then by age


def start(workflow: Any) -> None:
    """Show the progress of Snakemake's `workflow`, which is about to run, until this process ends.

    A terminal shows bars below Snakemake's own lines. Plain lines go to Snakemake's log file and, without a terminal,
    to where Snakemake's own lines go.
    """
    if {str(word) for word in workflow.output_settings.quiet or ()} & {"progress", "all"}:
        return
    over = threading.Event()
    long = [job for job in workflow.dag.needrun_jobs() if job.rule.name in LONG]
    thread = threading.Thread(target=_watch, args=(workflow, long, over), daemon=True)
    thread.start()
    # Not by onsuccess and onerror: an exception of Snakemake's own calls neither. Last registered, first called.
    atexit.register(thread.join)
    atexit.register(over.set)


def _watch(workflow: Any, long: list, over: threading.Event) -> None:
    logger, said = workflow.logger_manager.logger, None
    looked, began = time.time(), time.monotonic()
    reported = began
    seen: dict[Any, float] = {}
    with contextlib.ExitStack() as stack:
        draw = _terminal(logger, stack)
        pause = wait = float(LOOK if draw else EVERY)
        while not over.wait(wait):
            at = time.monotonic()
            # A copy, made in one step: the scheduler changes the set at any time.
            running = workflow.scheduler.running.copy()
            seen, looked = {job: seen.get(job, looked) for job in running}, time.time()
            state = look(workflow, long, seen, at - began)
            if draw:
                with contextlib.suppress(OSError):  # the terminal is gone; lines in the file go on
                    draw(state)
            if at - reported >= EVERY:
                reported, before, said = at, said, (state.done, state.running)
                if said != before:  # a queue that stands still is reported once
                    logger.info("\n".join(report(state)), extra={PLAIN: True})
            wait = max(pause, 20 * (time.monotonic() - at))


def _terminal(logger: Any, stack: contextlib.ExitStack) -> Callable[[Progress], None] | None:
    """The function that draws bars on Snakemake's terminal until `stack` is left; None if there is no terminal."""
    handler = next((handler for handler in logger.handlers if getattr(handler, "is_tty", False)), None)
    if handler is None or os.environ.get("TERM") == "dumb":  # a dumb terminal cannot rewrite a line
        return None
    handler.addFilter(lambda record: not hasattr(record, PLAIN))
    return stack.enter_context(bars_below(handler))


def look(workflow: Any, long: list, seen: dict[Any, float], seconds: float) -> Progress:
    """The progress at this moment.

    `seen`: the scheduler's running jobs, each with a time when it was not running yet; a group counts as one job.
    """
    said: dict[Any, tuple[str, str]] = {}
    shares: dict[Any, float] = {}
    for group, since in seen.items():
        lines = {job: last_line(job.log[0], since) for job in _members(group) if job.log}
        shares |= {job: share(line) for job, (_, line) in lines.items()}
        if lines:
            # The job of the group that wrote last; training if none has written.
            latest = max(lines, key=lambda job: (lines[job][0], job.rule.name))
            said[group] = (str(latest.log[0]).removeprefix("results/logs/").removesuffix(".log"), lines[latest][1])
    done = sum(1.0 if workflow.dag.finished(job) else shares.get(job, 0.0) for job in long)
    scheduler = workflow.scheduler
    return Progress(
        done=scheduler.finished_jobs,
        total=len(workflow.dag),
        failed=sum(len(job) for job in scheduler.failed.copy()),
        share=done / len(long) if long else 0.0,
        seconds=seconds,
        running=[said[group] for group in sorted(said, key=lambda group: (not said[group][1], seen[group]))],
    )


def _members(job: Any) -> Iterable[Any]:
    return job.jobs if job.is_group() else (job,)


def last_line(log: str | Path, since: float) -> tuple[float, str]:
    """When the file was last written, and its last whole line; (0, "") if there is none, or it is an earlier job's."""
    try:
        with Path(log).open("rb") as file:
            status = os.fstat(file.fileno())
            file.seek(max(0, status.st_size - 4096))
            text = file.read()
    except OSError:  # not there yet, or just replaced on a shared file system: the next look finds it
        return 0.0, ""
    if status.st_mtime < since:
        return 0.0, ""
    lines = text[: text.rfind(b"\n") + 1].decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return status.st_mtime, "".join(letter for letter in last if letter.isprintable())


def share(line: str) -> float:
    """The share of a job that is done, by a line of its log."""
    found = COUNT.search(line)
    return min(1.0, float(found[1]) / int(found[2])) if found and int(found[2]) else 0.0


def summary(state: Progress) -> str:
    """One line on all jobs."""
    parts = [f"{state.done} of {state.total} jobs done", f"{state.total - state.done} left"]
    parts.append(f"{len(state.running)} running")
    if state.failed:
        parts.append(f"{state.failed} failed")
    if state.share >= 0.01:  # a smaller one says too little
        parts.append(f"about {clock(state.seconds * (1 / state.share - 1))} left")
    parts.append(f"{clock(state.seconds)} so far")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))


def report(state: Progress) -> list[str]:
    """Plain lines: one on all jobs, one for each that runs."""
    lines = [f"  {name}: {line or NOTHING}" for name, line in state.running[:MOST]]
    return [summary(state), *lines, *_others(len(state.running) - MOST)]


def _others(count: int) -> list[str]:
    return [f"  and {count} more"] if count > 0 else []


def layout(state: Progress, columns: int, rows: int) -> tuple[int, list[tuple[float, str]]]:
    """The width of bars, and for each bar its share and the text after it, for a terminal of that size.

    They take at most half of the rows: Snakemake's own lines scroll above them.
    """
    from tqdm.utils import disp_trim

    most = max(1, rows // 2 - 2)
    bar = 10 if columns >= 100 else 4
    # Some columns stay free: a terminal wraps a line that is full, and its echo of Ctrl-C could fill one.
    room = columns - bar - 1 - FREE
    # The jobs' lines have room before their names.
    names = [_short(SPARE.sub("", name), max(14, room - 64)) for name, _ in state.running[:most]]
    width = max(map(len, names), default=0)
    lines = [(state.done / state.total if state.total else 1.0, summary(state))]
    for name, (_, line) in zip(names, state.running, strict=False):
        lines.append((share(line), f"{name:<{width}}  {line or NOTHING}"))
    lines += [(0.0, line.strip()) for line in _others(len(state.running) - most)]
    return bar, [(part, disp_trim(text, room)) for part, text in lines]


def _short(name: str, width: int) -> str:
    """The name, shortened in the middle if it is too long: its ends say most."""
    if len(name) <= width:
        return name
    start = (width - 2) // 3
    return f"{name[:start]}..{name[len(name) - (width - 2 - start) :]}"


@contextlib.contextmanager
def bars_below(handler: Any) -> Iterator[Callable[[Progress], None]]:
    """A function that draws bars at the bottom of `handler`'s terminal; what `handler` writes scrolls above them.

    At the end the bars are removed.
    """
    from tqdm import tqdm  # imported here: most calls of Snakemake show no bars
    from tqdm.contrib import DummyTqdmFile

    stream = handler.stream
    bars: list[tqdm] = []
    tqdm.set_lock(threading.RLock())  # the default lock is also one between processes, of which there is one
    tqdm.monitor_interval = 0  # no thread of tqdm's own: the caller's redraws

    def draw(state: Progress) -> None:
        columns, rows = os.get_terminal_size(stream.fileno())
        width, lines = layout(state, columns or 80, rows or 24)  # 0 where the terminal does not say
        while len(bars) > len(lines):
            bars.pop().close()
        for position, (part, text) in enumerate(lines):
            form = f"{{bar:{width}}} {{desc}}"
            text = text.encode(stream.encoding, "replace").decode(stream.encoding)
            if position == len(bars):
                bars.append(tqdm(total=1, file=stream, position=position, leave=False, bar_format=form, desc=text))
            bar = bars[position]
            bar.n, bar.nrows, bar.ncols, bar.bar_format = part, rows or 24, (columns or 80) - 1, form
            bar.set_description_str(text)

    handler.setStream(DummyTqdmFile(stream))
    try:
        yield draw
    finally:
        while bars:
            bars.pop().close()
        handler.setStream(stream)
