#!/bin/sh
# Run a stage on this checkout's code with the environment's own Python, whatever `python` is on PATH:
# sh stages/run.sh STAGE [DECODER]. -P: a stage is named tokenize, like a module of Python itself.
# Freed memory is kept: to give back and ask again for each tensor costs a tenth of training.
# RECAP_PARENT: a stage ends with who started it, and is told here, before its parent can have changed.
export RECAP_PARENT=$PPID
export MALLOC_TRIM_THRESHOLD_=1073741824 MALLOC_MMAP_THRESHOLD_=1073741824
stage=$1
shift
for python in ".venv/bin/python" "${DVC_ROOT:-.}/.venv/bin/python" python python3; do
    if command -v "$python" >/dev/null 2>&1 &&
        "$python" -c 'from importlib.metadata import version; version("recap-captioning")' 2>/dev/null; then
        PYTHONPATH="src${PYTHONPATH:+:$PYTHONPATH}" exec "$python" -P -m recap.run_stage "stages/$stage.py" "$@"
    fi
done
echo "stages/run.sh: expected an environment with recap in .venv or on PATH; run: make setup" >&2
exit 2
