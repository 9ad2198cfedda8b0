#!/usr/bin/env bash
# dataflow.sh VERSION: the tests of Dataflow with Google's libraries, in .tools/dataflow on top of .venv: Beam's extra
# `gcp` wants older ones than the encoders of Gemini, so both do not fit into one environment.
# Where the libraries cannot be fetched it says so and ends well.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=$1

uv=$(command -v uv || echo "$PWD/.tools/python/bin/uv")
home=.tools/dataflow
if [ ! -e "$home/.ready" ]; then
    rm -rf "$home"
    "$uv" venv --quiet --python .venv/bin/python "$home"
    if ! "$uv" pip install --quiet --python "$home" "apache-beam[gcp]==$version" "google-cloud-secret-manager>=2.20"; then
        echo "dataflow: skipped, Google's libraries could not be fetched" >&2
        exit 0
    fi
    site=$("$home/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    .venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$site/under.pth"
    touch "$home/.ready"
fi
PYTHONPATH=$PWD exec "$home/bin/python" -m pytest -q tests/test_dataflow.py
