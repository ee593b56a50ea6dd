# syntax=docker/dockerfile:1
# The trainer: PyTorch with CUDA, corpusmill[train,hf], and a user without rights.
#
# BASE has no default, so that nobody builds on whatever a tag means today. Look up the digest of
# an image with Python 3.11 to 3.13 and torch 2.13 or newer, and build from the repository's root:
#
#   docker buildx imagetools inspect pytorch/pytorch:2.13.0-cuda13.0-cudnn9-runtime
#   docker build --file deploy/images/trainer.Dockerfile \
#     --build-arg BASE=pytorch/pytorch@sha256:... \
#     --build-arg REVISION="$(git rev-parse HEAD)" --tag REGISTRY/corpusmill-trainer:0.1.0 .
ARG BASE

FROM ${BASE} AS build
# hadolint ignore=DL3002
USER 0
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# The compiler stays in this stage; Debian and Ubuntu drop old versions of packages, so that a
# pinned one soon cannot be installed: the base's digest is what pins.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
# The base's torch was built for its CUDA: the environment sees it and does not replace it, and the
# base's torchrun starts the environment's corpusmill (--no-python).
RUN python3 -m venv --system-site-packages /opt/corpusmill
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE THIRD_PARTY.md ./
COPY schemas schemas
COPY stages stages
COPY pipelines pipelines
COPY model model
COPY training training
RUN grep --invert-match --extended-regexp '^(torch|triton|cuda|nvidia)\b' constraints.txt > pins.txt \
    && python3 -c 'from importlib.metadata import version; print("torch==" + version("torch"))' \
       >> pins.txt \
    && /opt/corpusmill/bin/python -m pip install --no-cache-dir --constraint pins.txt '.[train,hf]' \
    && /opt/corpusmill/bin/corpusmill --help > /dev/null

FROM ${BASE}
ARG REVISION=unknown
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="corpusmill-trainer" \
      org.opencontainers.image.description="Trains language models on corpusmill's shards" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 0
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 corpusmill \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp \
       --shell /usr/sbin/nologin corpusmill
COPY --from=build /opt/corpusmill /opt/corpusmill
# The root file system may be read-only: what libraries keep goes to /tmp.
ENV PATH=/opt/corpusmill/bin:${PATH} \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
# tini reaps orphans and hands SIGTERM on; manifests name their own command.
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["corpusmill", "--help"]
