#!/bin/sh
# Run a stage with the environment's own Python, whatever `python` is on PATH: sh stages/run.sh STAGE [DECODER]
stage=$1
shift
for python in ".venv/bin/python" "${DVC_ROOT:-.}/.venv/bin/python" python python3; do
    if command -v "$python" >/dev/null 2>&1 && "$python" -c 'import recap.errors' 2>/dev/null; then
        exec "$python" "stages/$stage.py" "$@"
    fi
done
echo "stages/run.sh: expected an environment with recap in .venv or on PATH; run: make setup" >&2
exit 2
