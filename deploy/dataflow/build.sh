#!/usr/bin/env bash
# Builds and pushes the worker's and the launchers' images, writes the templates and copies them to
# Cloud Storage. Needs Docker that may push to REPOSITORY, gcloud and corpusmill. docs/dataflow.md
# says what to create first. What is pushed is then named by digest: a tag that moves later changes
# no launcher and no template.
#
#   REPOSITORY=europe-west1-docker.pkg.dev/PROJECT/corpusmill TAG=0.1.0 \
#     LAUNCHER_IMAGE=gcr.io/dataflow-templates-base/python311-template-launcher-base@sha256:DIGEST \
#     TEMPLATES=gs://BUCKET/templates deploy/dataflow/build.sh
set -euo pipefail

: "${REPOSITORY:?where the images go: REGION-docker.pkg.dev/PROJECT/NAME}"
: "${TAG:?tag of the images, such as the version}"
: "${TEMPLATES:?folder of the templates: gs://BUCKET/templates}"
: "${LAUNCHER_IMAGE:?the launcher of Google, by digest: what docker buildx imagetools inspect tells of gcr.io/dataflow-templates-base/python311-template-launcher-base:TAG}"

cd "$(dirname "$0")/../.."
files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT

build_and_push() { # NAME OPTIONS...; sets `pushed` to NAME@sha256:...
  local name=$REPOSITORY/$1
  shift
  # Dataflow's machines are x86-64, whatever this one is.
  docker build --platform linux/amd64 "$@" --tag "$name:$TAG" .
  docker push "$name:$TAG"
  # An image that was pushed to several repositories has a digest in each of them.
  pushed=$(docker inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$name:$TAG" |
    grep --fixed-strings "$name@sha256:") || {
    echo "error: docker knows no digest of $name:$TAG after its push" >&2
    exit 1
  }
}

build_and_push worker --file deploy/images/worker.Dockerfile \
  ${BEAM_IMAGE:+--build-arg BEAM_IMAGE="$BEAM_IMAGE"}
worker=$pushed
references=(--worker-image "$worker")
for phase in extract dedup finish tokenizer tokenize pack summarize report; do
  build_and_push "launcher-$phase" --file deploy/images/launcher.Dockerfile \
    --build-arg LAUNCHER_IMAGE="$LAUNCHER_IMAGE" \
    --build-arg WORKER_IMAGE="$worker" --build-arg PHASE="$phase"
  references+=(--launcher-image "$phase=$pushed")
done
corpusmill deploy dataflow --repository "$REPOSITORY" --tag "$TAG" --output "$files" \
  "${references[@]}"
gcloud storage cp "$files"/*.json "$TEMPLATES/"
