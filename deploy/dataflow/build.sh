#!/usr/bin/env bash
# Builds and pushes the worker's and the launchers' images, writes the templates and copies them to
# Cloud Storage. Needs Docker that may push to REPOSITORY, gcloud and corpusmill. docs/dataflow.md
# says what to create first.
#
#   REPOSITORY=europe-west1-docker.pkg.dev/PROJECT/corpusmill TAG=0.1.0 \
#     TEMPLATES=gs://BUCKET/templates deploy/dataflow/build.sh
set -euo pipefail

: "${REPOSITORY:?where the images go: REGION-docker.pkg.dev/PROJECT/NAME}"
: "${TAG:?tag of the images, such as the version}"
: "${TEMPLATES:?folder of the templates: gs://BUCKET/templates}"

cd "$(dirname "$0")/../.."
files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT

docker build --file deploy/images/worker.Dockerfile \
  ${BEAM_IMAGE:+--build-arg BEAM_IMAGE="$BEAM_IMAGE"} \
  --tag "$REPOSITORY/worker:$TAG" .
docker push "$REPOSITORY/worker:$TAG"

corpusmill deploy dataflow --repository "$REPOSITORY" --tag "$TAG" --output "$files"
for template in "$files"/*.json; do
  phase=$(basename "$template" .json)
  docker build --file deploy/images/launcher.Dockerfile \
    ${LAUNCHER_IMAGE:+--build-arg LAUNCHER_IMAGE="$LAUNCHER_IMAGE"} \
    --build-arg WORKER_IMAGE="$REPOSITORY/worker:$TAG" --build-arg PHASE="$phase" \
    --tag "$REPOSITORY/launcher-$phase:$TAG" .
  docker push "$REPOSITORY/launcher-$phase:$TAG"
done
gcloud storage cp "$files"/*.json "$TEMPLATES/"
