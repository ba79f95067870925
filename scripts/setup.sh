#!/usr/bin/env bash
# Make .venv with everything that demo and tests need. Safe to run again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*" >&2; }

find_python() {
  local name
  for name in "${PYTHON:-}" python3.12 python3.11 python3.13 python3.10 python3; do
    [ -n "$name" ] && command -v "$name" >/dev/null 2>&1 || continue
    if "$name" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      printf '%s\n' "$name"
      return
    fi
  done
  return 1
}

install_package() {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "Installing the package $1 ..."
    apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$1" >/dev/null
  else
    say "The package $1 is missing and can't be installed here; ask an administrator for it."
    return 1
  fi
}

if ! python=$(find_python); then
  install_package python3-venv
  python=$(find_python) || { say "No Python 3.10 to 3.13 was found. Install one, or set PYTHON."; exit 1; }
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  install_package "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" \
    || { say "$python can't make virtual environments."; exit 1; }
fi

[ -x .venv/bin/python ] || "$python" -m venv .venv
if [ ! -x .venv/bin/uv ]; then
  .venv/bin/python -m pip install --quiet uv || say "uv can't be had; pip does it, only slower."
fi
install() {
  # uv knows neither the mirrors nor the certificates that pip was told of: where it fails, pip may not.
  # With bytecode: where Python may not write it (containers), every start would compile all again.
  [ -x .venv/bin/uv ] \
    && .venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python "$@" && return
  say "Installing with pip, which takes longer ..."
  .venv/bin/python -m pip install --quiet "$@"
}
say "Installing the requirements into .venv ..."
install -r requirements-dev.txt
install --no-deps -e .
touch .venv/.ready
