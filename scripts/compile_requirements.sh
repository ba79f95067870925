#!/usr/bin/env bash
# Pin requirements.txt (the package) and requirements-dev.txt (and its tools) for Python 3.10 to 3.13.
# Keeps the pins that are there; with --upgrade takes the newest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

compile() {
    local output=$1
    shift
    # No index URL may get into a file: it would name the machine's own registry.
    .venv/bin/uv pip compile pyproject.toml "$@" --quiet --universal --python-version 3.10 \
        --no-annotate --no-emit-index-url --no-emit-find-links --output-file "$output" \
        --custom-compile-command "make requirements"
}

compile requirements.txt "$@"
compile requirements-dev.txt --extra dev --constraint requirements.txt "$@"
