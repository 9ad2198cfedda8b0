#!/usr/bin/env bash
# A session cluster of one task manager on this machine, of a Flink in a given folder.
#   FLINK_HOME=/opt/flink deploy/flink/cluster.sh start|stop
# The folder of Flink is not written to: configuration, logs and checkpoints lie in STATE.
set -euo pipefail
[ -x "${FLINK_HOME:-}/bin/start-cluster.sh" ] || {
    echo "cluster: set FLINK_HOME to the folder of a Flink 2.2 (FLINK_HOME='${FLINK_HOME:-}' has no bin/start-cluster.sh)" >&2
    exit 1
}
STATE=${STATE:-${TMPDIR:-/tmp}/reelvec-flink}
export FLINK_CONF_DIR=$STATE/conf FLINK_LOG_DIR=$STATE/log FLINK_PID_DIR=$STATE

case "${1:-}" in
    start)
        mkdir -p "$FLINK_CONF_DIR" "$FLINK_LOG_DIR" "$STATE/checkpoints" "$STATE/savepoints"
        cp "$FLINK_HOME"/conf/*.properties "$FLINK_HOME"/conf/*.xml "$FLINK_CONF_DIR" 2>/dev/null || true
        printf 'localhost\n' >"$FLINK_CONF_DIR/masters"
        printf 'localhost\n' >"$FLINK_CONF_DIR/workers"
        cat >"$FLINK_CONF_DIR/config.yaml" <<YAML
jobmanager.rpc.address: localhost
jobmanager.bind-host: localhost
jobmanager.memory.process.size: 1g
taskmanager.bind-host: localhost
taskmanager.host: localhost
taskmanager.memory.process.size: 1500m
taskmanager.numberOfTaskSlots: ${SLOTS:-1}
parallelism.default: ${SLOTS:-1}
rest.address: localhost
rest.port: 8081
execution.checkpointing.dir: file://$STATE/checkpoints
execution.checkpointing.savepoint-dir: file://$STATE/savepoints
execution.checkpointing.timeout: 30min
restart-strategy.type: exponential-delay
YAML
        "$FLINK_HOME/bin/start-cluster.sh"
        ;;
    stop) "$FLINK_HOME/bin/stop-cluster.sh" ;;
    *) echo "cluster: say start or stop" >&2; exit 2 ;;
esac
