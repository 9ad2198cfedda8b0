#!/usr/bin/env bash
# prism.sh VERSION: Beam's portable runner of that version in .tools/bin, unless PATH has it already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=$1

command -v go >/dev/null || { echo "prism: Go is missing: install it (https://go.dev/dl) and run this again" >&2; exit 1; }
found=$(command -v prism || true)
if [ -n "$found" ] && go version -m "$found" 2>/dev/null | grep -q "beam/sdks/v2[[:space:]]*v$version"; then
    echo "prism $version: $found"
    exit
fi
echo "prism: building $version, about a minute"
mkdir -p .tools/bin && echo '*' >.tools/.gitignore
GOBIN="$PWD/.tools/bin" go install "github.com/apache/beam/sdks/v2/go/cmd/prism@v$version"
echo "prism $version: $PWD/.tools/bin/prism"
