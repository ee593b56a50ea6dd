# syntax=docker/dockerfile:1
# The image that launches one phase's Flex Template: the worker's image with Google's launcher in
# it, so that the graph is built by the very versions that run it. Build it from the repository's
# root, once for each phase (only the last lines differ):
#   docker build --platform linux/amd64 --file deploy/images/launcher.Dockerfile \
#     --build-arg PHASE=extract --build-arg WORKER_IMAGE=REPOSITORY/worker@sha256:DIGEST \
#     --build-arg LAUNCHER_IMAGE=gcr.io/dataflow-templates-base/python311-template-launcher-base@sha256:DIGEST \
#     --tag REPOSITORY/launcher-extract:TAG .
# WORKER_IMAGE is also what the jobs run, unless a launch names another one. LAUNCHER_IMAGE has no
# default, so that nobody builds on whatever a tag means today. Tags are listed at
# docs.cloud.google.com/dataflow/docs/reference/flex-templates-base-images;
# `docker buildx imagetools inspect NAME:TAG` tells a tag's digest.
ARG LAUNCHER_IMAGE
ARG WORKER_IMAGE

FROM ${LAUNCHER_IMAGE} AS launcher

FROM ${WORKER_IMAGE}
ARG RUN_AS=corpusmill
USER root
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
COPY deploy/dataflow/launch.py /opt/corpusmill-launcher/launch.py
USER ${RUN_AS}
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/opt/corpusmill-launcher/launch.py
ENTRYPOINT ["/opt/google/dataflow/python_template_launcher"]
ARG WORKER_IMAGE
ARG PHASE
ENV CORPUSMILL_WORKER_IMAGE=${WORKER_IMAGE} \
    CORPUSMILL_PHASE=${PHASE}
