#!/usr/bin/env bash
# Beam's worker pool, which starts a Python worker for each that a task manager asks for; one pool beside each of them.
#   PORT=50000 deploy/flink/worker_pool.sh
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PYTHON=${PYTHON:-$root/.venv/bin/python}
[ -x "$PYTHON" ] || { echo "worker_pool: there is no Python at $PYTHON: make setup, or set PYTHON" >&2; exit 1; }

# The pool starts bare `python`: where that is another one, a job fails after a minute with nothing said.
PATH=$(dirname "$PYTHON"):$PATH
export PATH
exec "$PYTHON" -m apache_beam.runners.worker.worker_pool_main --service_port="${PORT:-50000}"
