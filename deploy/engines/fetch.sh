#!/usr/bin/env bash
# Fetch or build the programs of Beam's portable runners into one folder:
#
#   deploy/engines/fetch.sh FOLDER [prism] [boot] [spark] [flink]      (all of them by default)
#
# prism                      Beam's Prism runner, from its Go module
# boot                       the start program of Beam's Python workers (environment PROCESS)
# spark-3-job-server.jar     Beam's Spark job server; pyspark/ is Spark itself, for clusters
# flink-1.19-job-server.jar  Beam's Flink job server, with Flink in it
#
# SPARK_JOB_SERVER_JAR and FLINK_JOB_SERVER_JAR name jars that are at hand, which come first and stay.
# PYTHON is the Python that has Beam, whose version decides all others. versions.txt in the folder
# says what was taken: what is there for this version of Beam is left alone, all else made anew.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 1 ] || { sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
engines=("$@")
[ ${#engines[@]} -gt 0 ] || engines=(prism boot spark flink)
python=${PYTHON:-python3}
beam=$("$python" -c 'from importlib.metadata import version; print(version("apache-beam"))')
built=$(mktemp -d "$folder/.build.XXXXXX")
trap 'rm -rf "$built"' EXIT

need() {
  command -v "$1" > /dev/null || { echo "$2 needs $1, which is not installed" >&2; return 1; }
}

recorded() { # NAME
  [ ! -f "$folder/versions.txt" ] || sed -n "s/^$1 //p" "$folder/versions.txt"
}

record() { # NAME VERSION
  { grep -sv "^$1 " "$folder/versions.txt" || true; echo "$1 $2"; } > "$built/versions"
  mv "$built/versions" "$folder/versions.txt"
}

# Recorded last, so that an interrupted build is made again.
keep() { # FILE NAME VERSION
  [ ! -d "$folder/$2" ] || rm -rf "${folder:?}/$2"
  mv "$1" "$folder/$2"
  record "$2" "$3"
  echo "$2: $3"
}

go_program() { # NAME PACKAGE
  [ ! -x "$folder/$1" ] || [[ $(recorded "$1") != "Beam $beam,"* ]] || return 0
  need go "$1" || return 1
  GOBIN=$built go install "github.com/apache/beam/sdks/v2/$2@v$beam" || return 1
  keep "$built/$(basename "$2")" "$1" "Beam $beam, built with $(go env GOVERSION)"
}

job_server() { # RUNNER NAMED
  local jar=$1-job-server.jar taken="" version parts cause
  [ ! -f "$folder/$jar" ] || taken=$(recorded "$jar")
  if [ -n "$2" ]; then
    version="as named: $(basename "$2")"
    if [ "$taken" = "$version" ] && cmp -s "$2" "$folder/$jar"; then return; fi
    cp "$2" "$built/$jar" || return 1
    keep "$built/$jar" "$jar" "$version"
    return
  fi
  version=$(sed -n 's/.*<beam.version>\(.*\)<.*/\1/p' "$here/$1.pom.xml")
  parts="Beam $version, built from parts"
  case $taken in
    "Beam $beam" | "$parts, as for Beam $beam") return ;;
    "$parts") record "$jar" "$parts, as for Beam $beam"; return ;; # of older records
    "as named: "*) echo "$jar: $taken; remove it to have Beam's own"; return ;;
  esac
  need mvn "$jar" || return 1
  if mvn -q -B -Dstyle.color=never dependency:copy -DoutputDirectory="$built" -Dmdep.stripVersion=true \
    -Dartifact="org.apache.beam:beam-runners-$1-job-server:$beam" > "$built/log" 2>&1; then
    keep "$built/beam-runners-$1-job-server.jar" "$jar" "Beam $beam"
    return
  fi
  # Maven's first error names the cause, its last ones where to read about errors. It resets colours
  # that it was told not to use.
  cause=$(sed -n $'s/\e\\[[0-9;]*m//g; /^\\[ERROR\\] ./{p;q}' "$built/log")
  echo "beam-runners-$1-job-server:$beam cannot be fetched:" >&2
  echo "${cause:-$(tail -n 3 "$built/log")}" >&2
  if [[ $taken == "$parts"* ]]; then
    echo "$jar stays as it is, built from parts of Beam $version; remove it to try again" >&2
    record "$jar" "$parts, as for Beam $beam"
    return
  fi
  echo "$jar is built from parts of Beam $version; remove it to try again" >&2
  cp "$here/$1.pom.xml" "$built/pom.xml"
  mvn -q -B -Dstyle.color=never -f "$built/pom.xml" package || return 1
  keep "$built/target/$jar" "$jar" "$parts, as for Beam $beam"
}

spark() {
  local version
  job_server spark-3 "${SPARK_JOB_SERVER_JAR:-}" || return 1
  # The cluster must be the Spark that the job server carries.
  version=$("$python" -c '
import sys, zipfile
lines = zipfile.ZipFile(sys.argv[1]).read("spark-version-info.properties").decode().splitlines()
print(*(line.removeprefix("version=") for line in lines if line.startswith("version=")))
' "$folder/spark-3-job-server.jar" 2> /dev/null) || version=
  [ -n "$version" ] || { echo "no Spark version in spark-3-job-server.jar" >&2; return 1; }
  [ ! -d "$folder/pyspark" ] || [ "$(recorded pyspark)" != "Spark $version" ] || return 0
  "$python" -m pip install --quiet --no-deps --target "$built/pyspark" "pyspark==$version" || return 1
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
[ $missing = 0 ] || { echo "some engines are missing or of another Beam; see above" >&2; exit 1; }
