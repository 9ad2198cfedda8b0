#!/usr/bin/env bash
# Indexes the example videos and asks three questions. Called by `make demo`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
index=demo.reelvec

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
ask() { # TITLE QUESTION, then more arguments of `reelvec search`
    say "$1"
    shift
    echo "\$ reelvec search \"$1\" ${*:2} --index $index" | tr -s ' '
    .venv/bin/reelvec search "$@" --index "$index" --limit 3
}

say "Six short videos into an index"
.venv/bin/reelvec ingest examples/videos --index "$index"

ask "Something seen, which nobody names" "a rocket on the launch pad"
ask "Something said, asked in other words" "how long was the exposure of the distant stars"
ask "A name, which only the words themselves can find" "Canaveral" --by words

say "Next"
cat <<'END'
  reelvec is in .venv/bin; every command has --help
  reelvec ingest ~/Movies --index movies.reelvec
  reelvec search "two people on a beach" --index movies.reelvec
  reelvec status --index movies.reelvec
  reelvec evaluate examples/queries.tsv --media examples/videos --index demo.reelvec
END
