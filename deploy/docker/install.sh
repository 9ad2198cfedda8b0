#!/usr/bin/env bash
# What an image holds, step by step; run from the root of the sources:
#   install.sh system|dependencies|package|bytecode|weights|sbom ...
# The Dockerfile runs it, and a test runs it in an empty folder, since images cannot be built everywhere.
set -euo pipefail

prefix=${REELVEC_PREFIX:-/opt/reelvec}
extras=${REELVEC_EXTRAS-offline,server,buckets,metrics,report}
recipe=${REELVEC_RECIPE-offline}            # whose weights are put in; none where it is empty
python=${REELVEC_PYTHON:-3.11}              # a version, or the path of an interpreter
torch_backend=${REELVEC_TORCH_BACKEND-}     # uv's --torch-backend: cpu leaves the libraries of GPUs out
venv=$prefix/venv
export REELVEC_CACHE=${REELVEC_CACHE:-$prefix/cache} HF_HOME=${HF_HOME:-$prefix/cache/hub}

UV_VERSION=0.13.9
CYCLONEDX_VERSION=7.5.0

have() { command -v "$1" >/dev/null 2>&1; }

# ffmpeg decodes, libGL and GLib are what OpenCV opens, tini reaps children and passes signals on.
system() {
    have apt-get && [ "$(id -u)" -eq 0 ] || { echo "install: system packages need root and apt-get" >&2; exit 1; }
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends ca-certificates ffmpeg libgl1 libglib2.0-0 tini >/dev/null
    rm -rf /var/lib/apt/lists/*
    have uv || python3 -m pip install --quiet --no-cache-dir --root-user-action=ignore "uv==$UV_VERSION"
}

into_venv() { uv pip install --quiet --python "$venv" --constraints constraints.txt "$@"; }

dependencies() {
    uv venv --quiet --allow-existing --seed --python "$python" "$venv"   # with pip: Beam's boot asks it what is installed
    local wanted=()
    for extra in ${extras//,/ }; do wanted+=(--extra "$extra"); done
    into_venv ${torch_backend:+--torch-backend="$torch_backend"} --build-constraints constraints.txt \
        --requirements setup.py "${wanted[@]}"
}

package() {
    into_venv --no-deps --build-constraints constraints.txt --reinstall-package reelvec .
}

# Once here instead of at every start. Templates and test data of some packages do not compile, and need not.
bytecode() {
    "$venv/bin/python" -m compileall -q "$venv/lib" >/dev/null 2>&1 || :
}

# The weights of a recipe and its text encoder's export for searches, so that no worker fetches or makes any.
weights() {
    [ -n "$recipe" ] || return 0
    mkdir -p "$REELVEC_CACHE"
    "$venv/bin/reelvec" weights pull --recipe "$recipe"
    "$venv/bin/python" -c '
import sys
from transforms.encoders.light import export_for
from transforms.recipe import load_recipe
export_for(load_recipe(sys.argv[1]).text_encoder)' "$recipe"
}

# CycloneDX, of what is installed and not of what was asked for.
sbom() {
    uv tool run --quiet --from "cyclonedx-bom==$CYCLONEDX_VERSION" \
        cyclonedx-py environment --output-reproducible --of JSON -o "$prefix/sbom.cdx.json" "$venv/bin/python"
}

[ $# -gt 0 ] || { echo "usage: install.sh system|dependencies|package|bytecode|weights|sbom ..." >&2; exit 2; }
for step; do
    case $step in
        system | dependencies | package | bytecode | weights | sbom) "$step" ;;
        *) echo "install: there is no step $step" >&2; exit 2 ;;
    esac
done
