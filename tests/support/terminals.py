"""Terminals that a test reads."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import termios
import time


def screen(seen):
    """The lines of a terminal, without wrapping, and the column of its cursor."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|[^\x1b]", seen.replace("\r\n", "\n\r")):
        if part == "\x1b[A":
            row -= 1
        elif part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        elif not part.startswith("\x1b"):
            lines[row] = lines[row].ljust(column)[:column] + part + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines], column


def terminal(columns, rows):
    """Both ends of a terminal."""
    reader, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    return reader, end


def read(reader, until, seconds=60):
    """What is written to the terminal until it matches, or its other end is closed."""
    seen, deadline = b"", time.monotonic() + seconds
    with contextlib.suppress(OSError):  # raised once the other end is closed
        while not re.search(until, seen.decode(errors="replace")):
            assert time.monotonic() < deadline, seen.decode()
            seen += os.read(reader, 65536)
    return seen.decode()
