#!/usr/bin/env bash
# Builds the template's spec once, and launches a job; returns when Dataflow has taken it.
#   deploy/dataflow/launch.sh template            puts the spec into $TEMPLATE
#   deploy/dataflow/launch.sh run NAME=VALUE ...  launches it with these parameters (deploy/dataflow/metadata.json)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

die() { echo "launch: $*" >&2; exit 2; }
wanted() { [ -n "${!1:-}" ] || die "set $1: $2"; }

command -v gcloud >/dev/null || die "gcloud is not installed: it is what talks to Dataflow."
wanted PROJECT "the project that pays"
wanted REGION "where the workers run, e.g. europe-west1"
wanted BUCKET "gs://... for the spec and for temporary files"
TEMPLATE=${TEMPLATE:-$BUCKET/reelvec/ingest.json}

case "${1:-}" in
    template)
        wanted IMAGE "the image of the launcher and of the workers, with its digest"
        gcloud dataflow flex-template build "$TEMPLATE" --project "$PROJECT" --image "$IMAGE" \
            --sdk-language PYTHON --metadata-file metadata.json
        ;;
    run)
        shift
        [ $# -gt 0 ] || die "name parameters: index=https://host:6333/films sources=gs://bucket/films/*.mp4"
        python3 check_parameters.py "$@" || exit 2
        job=${JOB:-reelvec-ingest}  # Dataflow refuses a second one of this name while it runs
        joined=$(printf '~%s' "$@")
        gcloud dataflow flex-template run "$job" --project "$PROJECT" --region "$REGION" \
            --template-file-gcs-location "$TEMPLATE" --staging-location "$BUCKET/staging" \
            --temp-location "$BUCKET/temp" ${NETWORK:+--network "$NETWORK"} ${SUBNETWORK:+--subnetwork "$SUBNETWORK"} \
            ${SERVICE_ACCOUNT:+--service-account-email "$SERVICE_ACCOUNT"} --parameters "^~^${joined:1}"
        ;;
    *) die "say template or run" ;;
esac
