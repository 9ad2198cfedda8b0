#!/usr/bin/env bash
# build.sh [--print] [--release] cpu|gpu|cpu-worker|gpu-worker [TAG]: build an image from images.env.
#   --print     say the command and do nothing
#   --release   refuse while a digest is missing
# EXTRAS, RECIPE and TORCH_BACKEND in the environment go into the image; TORCH_BACKEND is cpu for the cpu targets.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

print='' release=''
while [[ ${1-} == --* ]]; do
    case $1 in
        --print) print=1 ;;
        --release) release=1 ;;
        *) echo "build: there is no option $1" >&2; exit 2 ;;
    esac
    shift
done
target=${1-}
case $target in
    cpu | cpu-worker) backend=${TORCH_BACKEND-cpu} ;;
    gpu | gpu-worker) backend=${TORCH_BACKEND-} ;;
    *) echo "usage: build.sh [--print] [--release] cpu|gpu|cpu-worker|gpu-worker [TAG]" >&2; exit 2 ;;
esac
version=$(sed -n 's/^ *version="\(.*\)",$/\1/p' setup.py)
tag=${2-reelvec:$version-$target}

arguments=()
while IFS='=' read -r name value; do
    [[ $name == [A-Z]* ]] || continue
    if [[ $name == *_DIGEST && -z $value ]]; then
        echo "build: ${name%_DIGEST}_IMAGE is not pinned: fill in $name in deploy/docker/images.env" >&2
        [ -z "$release" ] || exit 1
    fi
    arguments+=(--build-arg "$name=$value")
done <deploy/docker/images.env
arguments+=(--build-arg "REELVEC_TORCH_BACKEND=$backend")
[ -z "${EXTRAS-}" ] || arguments+=(--build-arg "REELVEC_EXTRAS=$EXTRAS")
[ -z "${RECIPE-}" ] || arguments+=(--build-arg "REELVEC_RECIPE=$RECIPE")

command=(docker buildx build --load --target "$target" --tag "$tag" --file deploy/docker/Dockerfile "${arguments[@]}" .)
if [ -n "$print" ]; then
    echo "${command[*]}"
else
    exec "${command[@]}"
fi
