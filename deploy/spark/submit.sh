#!/usr/bin/env bash
# A whole run by spark-submit, one jar a job, from a machine that reaches the cluster:
#
#   deploy/spark/submit.sh OUT [options of `corpusmill phase extract`] -- [options of spark-submit]
#
#   deploy/spark/submit.sh s3://bucket/out --input 's3://bucket/crawl/*.warc.gz' --recipe fineweb \
#     -- --master spark://host:7077 --conf spark.default.parallelism=400
#
# BOOT is the start program of Beam's Python workers on the cluster's machines (`make engines`
# brings it, images of Beam have it in /opt/apache/beam/boot), and BEAM_OPTIONS are further options
# of Beam. Run it again after a failure: it goes on with what is missing. Each phase is asked again
# until it is complete, so that --inputs-from takes a file here, not standard input.
set -euo pipefail

[ $# -ge 1 ] || { sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 2; }
output=$1
shift
extract=()
once=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  if [ "$1" = --inputs-from=- ] || { [ "$1" = --inputs-from ] && [ "${2:-}" = - ]; }; then
    echo "--inputs-from -: phase extract is called several times, write the list into a file" >&2
    exit 2
  fi
  # To discard a run is for the first call: the next one would discard what the job has made.
  if [ "$1" = --no-resume ]; then once+=("$1"); else extract+=("$1"); fi
  shift
done
[ $# -eq 0 ] || shift
boot=${BOOT:-/opt/apache/beam/boot}
read -r -a further <<< "${BEAM_OPTIONS:-}"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Workers start `boot` as their process; variables of this shell that they need go with it.
environment=$(BOOT_PROGRAM=$boot python3 -c '
import json, os
names = ("PATH", "PYTHONPATH", "CORPUSMILL_CACHE", "AWS_REGION", "AWS_PROFILE")
variables = {name: os.environ[name] for name in names if name in os.environ}
variables["RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT"] = "1"
print(json.dumps({"command": os.environ["BOOT_PROGRAM"], "env": variables}))')

# A phase may need several jobs, each built from what the one before it left.
run_phase() { # NAME OPTIONS...
  local name=$1 state before=
  shift
  while :; do
    rm -f "$folder/job.jar"
    state=$(corpusmill phase "$name" --output "$output" "$@" "${once[@]}" --quiet --json \
      --runner SparkRunner --output_executable_path "$folder/job.jar" --environment_type PROCESS \
      --environment_config "$environment" "${further[@]}")
    once=()
    if [ ! -f "$folder/job.jar" ]; then
      echo "$name: complete"
      return
    fi
    [ "$state" != "$before" ] || { echo "$name: no progress after $state" >&2; return 1; }
    before=$state
    echo "$name: submitting $state"
    spark-submit "${spark[@]}" "$folder/job.jar"
  done
}

spark=("$@")
run_phase extract "${extract[@]}"
for phase in dedup finish tokenizer tokenize pack summarize report; do run_phase "$phase"; done
