#!/bin/sh
# Run a stage on this checkout's code with the environment's own Python, whatever `python` is on PATH:
# sh stages/run.sh STAGE [DECODER]. -P: a stage is named tokenize, like a module of Python itself.
# Freed memory is kept: to give back and ask again for each tensor costs a tenth of training.
# RECAP_PARENT: a stage ends with who started it, and is told here, before its parent can have changed.
# GLIBC_TUNABLES chooses the code of exp and its like by processor: it is read before Python can clear it.
export RECAP_PARENT=$PPID
unset GLIBC_TUNABLES
export MALLOC_TRIM_THRESHOLD_=1073741824 MALLOC_MMAP_THRESHOLD_=1073741824
stage=$1
shift
# What else steers Python is left out: it ends at its start where one holds a word that it does not know.
for name in $(env | sed -n 's/^\(PYTHON[A-Z0-9]*\)=.*/\1/p'); do
    case $name in
    PYTHONPATH | PYTHONUNBUFFERED | PYTHONDONTWRITEBYTECODE | PYTHONPYCACHEPREFIX) ;;
    *) unset "$name" ;;
    esac
done
reason=
for python in ".venv/bin/python" "${DVC_ROOT:-.}/.venv/bin/python" python python3; do
    command -v "$python" >/dev/null 2>&1 || continue
    if said=$("$python" -c 'from importlib.metadata import version; version("recap-captioning")' 2>&1); then
        PYTHONPATH="src${PYTHONPATH:+:$PYTHONPATH}" exec "$python" -P -m recap.run_stage "stages/$stage.py" "$@"
    fi
    reason=${reason:-", received from $python: $(printf '%s\n' "$said" | tail -n 1)"}
done
echo "stages/run.sh: expected an environment with recap in .venv or on PATH$reason; run: make setup" >&2
exit 2
