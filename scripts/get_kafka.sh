#!/usr/bin/env bash
# Fetch Apache Kafka into .kafka/ for the tests that need a real broker. Safe to run again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*" >&2; }

pom=scripts/kafka/pom.xml
if [ -f .kafka/.ready ] && [ .kafka/.ready -nt "$pom" ]; then
  exit 0
fi
missing=()
command -v java >/dev/null 2>&1 || missing+=(default-jre-headless)
command -v mvn >/dev/null 2>&1 || missing+=(maven)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    say "Kafka needs Java 17 or later and Maven; install ${missing[*]} first."
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
fi
say "Fetching Apache Kafka into .kafka ..."
rm -rf .kafka
mvn -q -B -f "$pom" dependency:copy-dependencies -DoutputDirectory="$PWD/.kafka/libs" >&2
touch .kafka/.ready
