"""Work on items in threads, in their order and a little ahead of who asks for them."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 16  # items per thread that are worked on before they are asked for


def mapped(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Generator[Result, None, None]:
    """`work(item)` for each item, in order. `threads` threads work at most AHEAD × `threads` items ahead.

    Threads suffice: Pillow releases the interpreter's lock while it decodes and resizes, `hashlib` while it digests.
    """
    pool = ThreadPoolExecutor(threads)
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) == AHEAD * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:  # also after an error, or if the caller stops early
        pool.shutdown(cancel_futures=True)
