"""What a command tells while it works: lines beside its result."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Write a line to standard error, at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
