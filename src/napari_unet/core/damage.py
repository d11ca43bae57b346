"""What readers raise on files that are truncated, damaged or of another kind."""

from __future__ import annotations

import struct
import zipfile
import zlib

import tifffile

DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    tifffile.TiffFileError,
)


def give_reason(error: BaseException) -> str:
    """The error as the part of a sentence."""
    return " ".join(str(error).split())[:200] or type(error).__name__
