#!/usr/bin/env bash
# Beam's job server for Flink: takes portable jobs on port 8099 and hands them to a cluster.
#   FLINK_JOB_SERVER_JAR=... FLINK_MASTER=localhost:8081 deploy/flink/job_server.sh
set -euo pipefail
jar=${FLINK_JOB_SERVER_JAR:-}
[ -n "$jar" ] || { echo "job_server: set FLINK_JOB_SERVER_JAR to beam-runners-flink-2.2-job-server-2.77.0.jar" >&2; exit 1; }
[ -f "$jar" ] || { echo "job_server: there is no file $jar (FLINK_JOB_SERVER_JAR)" >&2; exit 1; }
command -v java >/dev/null || { echo "job_server: java is missing" >&2; exit 1; }
exec java -jar "$jar" --flink-master "${FLINK_MASTER:-localhost:8081}" \
    --job-host "${JOB_HOST:-localhost}" --job-port "${JOB_PORT:-8099}" \
    --artifact-port "${ARTIFACT_PORT:-8098}" --expansion-port "${EXPANSION_PORT:-8097}" \
    --artifacts-dir "${ARTIFACTS:-${TMPDIR:-/tmp}/reelvec-artifacts}"
