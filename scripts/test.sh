#!/usr/bin/env bash
# All tests, in three parts: torch and a viewer in one process can crash each other.
# Those of the core run on all processors, with one thread of torch each; those with windows watch
# the clock and run one after another.
# Runs all of them whatever fails; ends with the last line of each.
# Usage: scripts/test.sh .venv/bin/python
set -uo pipefail
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
lines=()
failed=0

run() {
    local name=$1 log
    shift
    log=$(mktemp)
    "$python" -m pytest "$@" 2>&1 | tee "$log" || failed=1
    lines+=("$name: $(grep -v '^[[:space:]]*$' "$log" | tail -n 1)")
    rm -f "$log"
}

OMP_NUM_THREADS=1 run tests/core tests/core -n logical --maxprocesses 8 --no-xvfb -p no:pytest-qt
run tests/widgets tests/widgets
run tests tests/test_*.py
printf '%s\n' "${lines[@]}"
exit "$failed"
