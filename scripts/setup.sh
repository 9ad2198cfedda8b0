#!/usr/bin/env bash
# Makes .venv with everything that constraints.txt pins, and sees to ffmpeg. Called by `make setup`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=${PATH//"$PWD/.venv/bin:"/}  # the python3 that is looked for is the machine's, which has pip

have() { command -v "$1" >/dev/null 2>&1; }
has_pip() { python3 -m pip --version >/dev/null 2>&1; }
die() { echo "setup: $*" >&2; exit 1; }

# from_apt PACKAGE: installs it where that is possible, fails otherwise
from_apt() {
    have apt-get && [ "$(id -u)" -eq 0 ] || return 1
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

find_ffmpeg() {
    if have ffmpeg && have ffprobe; then return; fi
    echo "setup: installing ffmpeg with apt-get"
    from_apt ffmpeg || die "ffmpeg and ffprobe are missing and cannot be installed from here." \
        "Install them (apt-get install ffmpeg, dnf install ffmpeg, brew install ffmpeg) and run this again."
}

# Prints the path of uv: the one on PATH, or one of our own in .tools.
find_uv() {
    if have uv && uv --version >/dev/null 2>&1; then command -v uv; return; fi
    local own="$PWD/.tools/python/bin/uv"
    if [ ! -x "$own" ]; then
        have python3 || die "python3 is missing: install Python 3.11 or newer."
        has_pip || { from_apt python3-pip >&2 && has_pip; } ||
            die "neither uv nor pip is here: install one of them (https://docs.astral.sh/uv) and run this again."
        echo "setup: installing uv into .tools" >&2
        mkdir -p .tools && echo '*' >.tools/.gitignore
        python3 -m pip install --quiet --root-user-action=ignore --target .tools/python uv >&2
    fi
    echo "$own"
}

find_ffmpeg
uv=$(find_uv)
if [ ! -x .venv/bin/python ]; then "$uv" venv --quiet --python '>=3.11' .venv; fi

# Every family of encoders, so that the tests run over all of them.
extras=offline,standard,sound,classical,services,aws,gcp,buckets,server,kafka,pubsub,metrics,report,dev
missing=$("$uv" pip install --python .venv --dry-run --editable ".[$extras]" \
    --constraints constraints.txt --build-constraints constraints.txt 2>&1 | sed -n 's/^Would download \([0-9]*\) .*/\1/p') ||
    :  # the installation itself says what is wrong
if [ "${missing:-0}" -gt 20 ]; then
    echo "setup: $missing packages to download, 3.6 GB at most (most of it torch with its GPU libraries); once, then they are kept"
fi
"$uv" pip install --quiet --python .venv --editable ".[$extras]" \
    --constraints constraints.txt --build-constraints constraints.txt
# Once here instead of at every start: where bytecode is not written, importing torch alone takes seconds longer.
# Templates and test data of some packages do not compile, and need not.
.venv/bin/python -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || :
touch .venv/.ready
echo "setup: ready; .venv/bin/reelvec --help says what can be done"
