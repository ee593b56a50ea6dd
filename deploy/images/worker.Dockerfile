# syntax=docker/dockerfile:1
# The image of Dataflow's workers: Beam's own, with corpusmill and its lists, and a user without
# rights. Build it from the repository's root:
#   docker build --platform linux/amd64 --file deploy/images/worker.Dockerfile --tag REPOSITORY/worker:TAG .
# The base is named by version. To name it by content, which gives the same base for ever:
#   docker buildx imagetools inspect apache/beam_python3.11_sdk:2.77.0
#   docker build --build-arg BEAM_IMAGE=apache/beam_python3.11_sdk@sha256:DIGEST ...
ARG BEAM_IMAGE=apache/beam_python3.11_sdk:2.77.0

FROM ${BEAM_IMAGE} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE THIRD_PARTY.md ./
COPY schemas schemas
COPY stages stages
COPY pipelines pipelines
COPY model model
COPY training training
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM ${BEAM_IMAGE}
ARG RECIPE=fineweb
# Root, should Dataflow's mounts refuse anybody else (docs/dataflow.md): --build-arg RUN_AS=root
ARG RUN_AS=corpusmill
ENV CORPUSMILL_CACHE=/opt/corpusmill \
    RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    PYTHONDONTWRITEBYTECODE=1
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    --mount=type=bind,source=constraints.txt,target=/constraints.txt \
    pip install --no-cache-dir --constraint /constraints.txt "$(ls /wheels/corpusmill-*.whl)[pii,gcp]" \
    && pip check
RUN mkdir -p "${CORPUSMILL_CACHE}" \
    && corpusmill assets --recipe "${RECIPE}" \
    && chmod -R a+rX,go-w "${CORPUSMILL_CACHE}"
RUN groupadd --gid 10001 corpusmill \
    && useradd --uid 10001 --gid corpusmill --create-home corpusmill
USER ${RUN_AS}
WORKDIR /tmp
ENTRYPOINT ["/opt/apache/beam/boot"]
