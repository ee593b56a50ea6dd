"""Beam's options for a job on Dataflow: what is missing, and what a phase adds."""

from __future__ import annotations

import copy
import os
import re
from importlib.util import find_spec

from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    TestOptions,
    WorkerOptions,
)

from pipelines.dataflow.sizes import SIZES
from schemas.errors import UsageError

IMAGE_VARIABLE = "CORPUSMILL_WORKER_IMAGE"
"""Names the worker image where --sdk_container_image does not: set in the launcher's image."""
NAME_LENGTH = 63
"""Characters of a job's name; Beam cuts its own names there."""
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


def check(options: PipelineOptions) -> None:
    """Find out before any work what would make Dataflow refuse the first job.

    Raises UsageError, in one line, for a package, option or credentials that are missing.
    """
    if not _installed("google.cloud.dataflow"):
        raise UsageError(
            "--runner DataflowRunner needs extra packages: pip install 'corpusmill[gcp]'"
        )
    cloud = options.view_as(GoogleCloudOptions)
    cloud.region = cloud.region or _usual_region()
    cloud.temp_location = cloud.temp_location or cloud.staging_location
    missing = [
        f"--{name}" for name in ("project", "region", "temp_location") if not getattr(cloud, name)
    ]
    if missing:
        raise UsageError(f"--runner DataflowRunner needs {', '.join(missing)}")
    worker = options.view_as(WorkerOptions)
    worker.sdk_container_image = worker.sdk_container_image or os.environ.get(IMAGE_VARIABLE)
    setup = options.view_as(SetupOptions)
    if not (worker.sdk_container_image or setup.setup_file or setup.extra_packages):
        raise UsageError(
            "Dataflow's workers need corpusmill: name an image that has it with "
            "--sdk_container_image (docs/dataflow.md says how to build one)"
        )
    if not cloud.no_auth and not options.view_as(TestOptions).dry_run:
        _check_credentials(cloud)


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # a parent package is missing
        return False


def _usual_region() -> str | None:
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner

    region: str | None = DataflowRunner().get_default_gcp_region()
    return region


def _check_credentials(cloud: GoogleCloudOptions) -> None:
    """Beam itself would go on anonymously, and fail much later."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        google.auth.default(scopes=cloud.gcp_oauth_scopes)
    except GoogleAuthError as error:
        raise UsageError(
            "no Google Cloud credentials: run `gcloud auth application-default login`, or set "
            f"GOOGLE_APPLICATION_CREDENTIALS ({' '.join(str(error).split())[:200]})"
        ) from error


def for_phase(options: PipelineOptions, phase: str) -> PipelineOptions:
    """A copy with what the phase's workers are given; what the user asked for stays."""
    options = copy.deepcopy(options)
    size = SIZES[phase]
    worker, debug = options.view_as(WorkerOptions), options.view_as(DebugOptions)
    standard, setup = options.view_as(StandardOptions), options.view_as(SetupOptions)
    worker.machine_type = worker.machine_type or size.machine_type
    worker.disk_size_gb = worker.disk_size_gb or size.disk_gb
    debug.number_of_worker_harness_threads = debug.number_of_worker_harness_threads or size.threads
    standard.resource_hints = standard.resource_hints or [f"min_ram={size.min_ram}"]
    if setup.save_main_session is None:
        # Beam's default with cloudpickle is to pickle __main__, which holds nothing of ours.
        setup.save_main_session = False
    if worker.sdk_container_image:
        # Everything is in the image: workers install nothing, and need write nothing to start.
        setup.sdk_location = "container"
        debug.add_experiment("disable_logging_submission_environment")
    return options


def add_labels(options: PipelineOptions, labels: dict[str, str]) -> None:
    """Label the job, beside what the user labels it with."""
    cloud = options.view_as(GoogleCloudOptions)
    own = [f"{name}={_label(value)}" for name, value in labels.items()]
    cloud.labels = [*(cloud.labels or []), *own]


def _label(value: str) -> str:
    return _dashed(value)[:NAME_LENGTH]


def job_name(recipe: str, run: str, job: str) -> str:
    """The name of a job: the same in every attempt of a run, and no other run's.

    Small letters, digits and dashes, first a letter, as Beam's validator asks for.
    """
    left = NAME_LENGTH - len(f"corpusmill--{run}-{job}")
    return f"corpusmill-{_dashed(recipe)[:left].strip('-')}-{run}-{job}"


def _dashed(text: str) -> str:
    return _NOT_IN_NAMES.sub("-", text.lower()).strip("-")
