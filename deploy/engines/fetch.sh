#!/usr/bin/env bash
# Fetch or build the programs of Beam's portable runners into one folder, each once:
#
#   deploy/engines/fetch.sh FOLDER [prism] [boot] [spark] [flink]      (all of them by default)
#
# prism                      Beam's Prism runner, from its Go module
# boot                       the start program of Beam's Python workers (environment PROCESS)
# spark-3-job-server.jar     Beam's Spark job server; pyspark/ is Spark itself, for clusters
# flink-1.19-job-server.jar  Beam's Flink job server, with Flink in it
#
# SPARK_JOB_SERVER_JAR and FLINK_JOB_SERVER_JAR name jars that are at hand. PYTHON is the Python
# that has Beam, whose version decides all others. versions.txt in the folder says what was taken.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 1 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
engines=("$@")
[ ${#engines[@]} -gt 0 ] || engines=(prism boot spark flink)
beam=$("${PYTHON:-python3}" -c 'from importlib.metadata import version; print(version("apache-beam"))')
built=$(mktemp -d "$folder/.build.XXXXXX")
trap 'rm -rf "$built"' EXIT

need() {
  command -v "$1" > /dev/null || { echo "$2 needs $1, which is not installed" >&2; return 1; }
}

# Written last, so that an interrupted build is made again.
keep() { # FILE NAME VERSION
  mv "$1" "$folder/$2"
  { grep -sv "^$2 " "$folder/versions.txt" || true; echo "$2 $3"; } > "$built/versions"
  mv "$built/versions" "$folder/versions.txt"
  echo "$2: $3"
}

go_program() { # NAME PACKAGE
  [ -x "$folder/$1" ] && return
  need go "$1" || return 1
  GOBIN=$built go install "github.com/apache/beam/sdks/v2/$2@v$beam" || return 1
  keep "$built/$(basename "$2")" "$1" "Beam $beam, built with $(go env GOVERSION)"
}

job_server() { # RUNNER NAMED
  local jar=$1-job-server.jar version
  [ -f "$folder/$jar" ] && return
  if [ -n "$2" ]; then
    cp "$2" "$built/$jar" || return 1
    keep "$built/$jar" "$jar" "as named: $(basename "$2")"
    return
  fi
  need mvn "$jar" || return 1
  if mvn -q -B -Dstyle.color=never dependency:copy -DoutputDirectory="$built" -Dmdep.stripVersion=true \
    -Dartifact="org.apache.beam:beam-runners-$1-job-server:$beam" > "$built/log" 2>&1; then
    keep "$built/beam-runners-$1-job-server.jar" "$jar" "Beam $beam"
    return
  fi
  echo "beam-runners-$1-job-server:$beam cannot be fetched; building one from parts" >&2
  cp "$here/$1.pom.xml" "$built/pom.xml"
  mvn -q -B -Dstyle.color=never -f "$built/pom.xml" package || return 1
  version=$(sed -n 's/.*<beam.version>\(.*\)<.*/\1/p' "$built/pom.xml")
  keep "$built/target/$jar" "$jar" "Beam $version, built from parts"
}

spark() {
  local version
  job_server spark-3 "${SPARK_JOB_SERVER_JAR:-}" || return 1
  [ -d "$folder/pyspark" ] && return
  # The cluster must be the Spark that the job server carries.
  version=$(unzip -p "$folder/spark-3-job-server.jar" spark-version-info.properties | sed -n 's/^version=//p')
  [ -n "$version" ] || { echo "no Spark version in spark-3-job-server.jar" >&2; return 1; }
  "${PYTHON:-python3}" -m pip install --quiet --no-deps --target "$built/pyspark" \
    "pyspark==$version" || return 1
  keep "$built/pyspark/pyspark" pyspark "Spark $version"
}

missing=0
for engine in "${engines[@]}"; do
  case $engine in
    prism) go_program prism go/cmd/prism || missing=1 ;;
    boot) go_program boot python/container || missing=1 ;;
    spark) spark || missing=1 ;;
    flink) job_server flink-1.19 "${FLINK_JOB_SERVER_JAR:-}" || missing=1 ;;
    *) echo "no engine $engine: prism, boot, spark, flink" >&2; exit 2 ;;
  esac
done
[ $missing = 0 ] || { echo "some engines are missing; see above" >&2; exit 1; }
