#!/usr/bin/env bash
# `make flink-smoke`: the example videos through a local Flink, into a folder; skips, with the reason, what cannot be had.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

skip() { echo "flink-smoke: skipped: $*"; exit 0; }
command -v java >/dev/null || skip "java is missing"
[ -f "${FLINK_JOB_SERVER_JAR:-}" ] || skip "there is no Beam job server: FLINK_JOB_SERVER_JAR='${FLINK_JOB_SERVER_JAR:-}' names no file" \
    "(org.apache.beam:beam-runners-flink-2.2-job-server:2.77.0)"
command -v reelvec >/dev/null || skip "reelvec is not on PATH: make setup"

work=$(mktemp -d)
started=()
master='[local]'  # without a FLINK_HOME the job server runs Flink in itself
finish() {
    [ ${#started[@]} -eq 0 ] || kill "${started[@]}" 2>/dev/null || true
    [ "$master" = '[local]' ] || STATE=$work/flink bash "$here/cluster.sh" stop || true
    rm -rf "$work"
}
trap finish EXIT
if [ -n "${FLINK_HOME:-}" ]; then
    master=localhost:8081
    STATE=$work/flink bash "$here/cluster.sh" start
fi
PORT=50000 bash "$here/worker_pool.sh" >"$work/pool.log" 2>&1 &
started+=($!)
FLINK_MASTER=$master ARTIFACTS=$work/artifacts bash "$here/job_server.sh" >"$work/job_server.log" 2>&1 &
started+=($!)
for port in 50000 8099; do
    for _ in $(seq 300); do
        (exec 3<>"/dev/tcp/localhost/$port") 2>/dev/null && continue 2
        sleep 0.2
    done
    echo "flink-smoke: nothing listens on port $port" >&2
    cat "$work"/*.log >&2
    exit 1
done
options=(--job_endpoint=localhost:8099 --environment_type=EXTERNAL --environment_config=localhost:50000 --parallelism=1)
reelvec ingest "$root/examples/videos" --index "$work/index" --runner flink -- "${options[@]}"
reelvec ingest "$root/examples/videos" --index "$work/here" --runner local
counted() { reelvec status --index "$1" --json | python -c 'import json, sys; print(json.load(sys.stdin)["totals"])'; }
[ "$(counted "$work/index")" = "$(counted "$work/here")" ] || { echo "flink-smoke: the indexes differ" >&2; exit 1; }
echo "flink-smoke: passed: $(counted "$work/index")"
