"""Freed memory is kept, so that what comes next need not fetch it from the system again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys
import numpy as np
from napari_unet.core.allocation import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for round in range(6):
    before = faults()
    np.ones(48 * 2**20, np.uint8)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of the GNU C library")
def test_large_arrays_that_come_and_go_take_no_new_pages():
    faults = {
        how: int(subprocess.check_output([sys.executable, "-c", _FAULTS, how]))
        for how in ("keep", "return")
    }
    assert faults["keep"] < 100
    assert faults["return"] > faults["keep"]
