"""A training job: what runs, on how many nodes, with what, as one checked description.

`corpusmill launch` renders it for torchrun, SLURM and Kubernetes (docs/launch.md). Everything that
ends up in a script or manifest is checked here; quoting is left to the renderers.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from schemas.secret_names import looks_secret, names_a_secret

Stage = Literal["pretrain", "sft", "reward", "dpo", "rl"]

NAME_LENGTH_MAX = 40
"""A pod is called NAME-node-0-NNNN-xxxxx and must stay within 63 characters (JobSet's webhook)."""

GRACE_MIN_SECONDS = 30

SIGNAL_EARLY_SECONDS = 60
"""How much earlier than asked for SLURM may send a signal (sbatch(1), --signal)."""

_IMAGE = re.compile(
    r"[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9._-]+)*"  # registry and path
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_RESERVED = re.compile(
    r"PET_.*|TORCHELASTIC_.*|TORCH_ELASTIC_.*|SLURM_.*|MASTER_(ADDR|PORT)"
    r"|(LOCAL_|GROUP_|ROLE_)?(RANK|WORLD_SIZE)|HOME|PATH"
)


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must not hold control characters or line breaks")
    return value


def _absolute(value: str) -> str:
    path = PurePosixPath(_printable(value))
    if not path.is_absolute() or ".." in path.parts or str(path) != value:
        raise ValueError("write an absolute path without '..', '//' or a slash at the end")
    return value


def _image(value: str) -> str:
    if not _IMAGE.fullmatch(value):
        raise ValueError("not an image: write registry/path:tag or registry/path@sha256:digest")
    last = value.rpartition("/")[2]
    if "@" not in last and (":" not in last or last.endswith(":latest")):
        raise ValueError(
            "names whatever is newest: pin it by digest (@sha256:...) or name a version as its tag"
        )
    return value


def _override(value: str) -> str:
    if not re.match(r"[A-Za-z_][A-Za-z0-9_.]*=", _printable(value)):
        raise ValueError("write key=value, for example train.steps=1000")
    key, _, text = value.partition("=")
    if key == "output":
        raise ValueError("output is a key of the description, not an override")
    if looks_secret(text):
        raise ValueError("an override looks like a secret: use `secrets`")
    return value


Text = Annotated[str, AfterValidator(_printable)]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
DnsSubdomain = Annotated[
    str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
]
LabelKey = Annotated[
    str, Field(pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
]
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]
SlurmWord = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.,:+@-]*$")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class SecretKey(Section):
    """A key of a Kubernetes Secret that exists in the job's namespace."""

    secret: DnsSubdomain
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$")]


class Secret(Section):
    """An environment variable whose value is fetched where the job runs, never written here."""

    name: VariableName
    kubernetes: SecretKey | None = None
    file: AbsolutePath | None = None
    """For torchrun and SLURM: a file that only its owner can read."""


class Network(Section):
    """What NCCL and Gloo talk over; nothing is set for what is left out."""

    interface: Annotated[str, Field(pattern=r"^[=^]?[A-Za-z0-9_.,:-]+$")] | None = None
    """NCCL_SOCKET_IFNAME, and GLOO_SOCKET_IFNAME where it is a plain name."""
    infiniband: bool | None = None
    """False sets NCCL_IB_DISABLE=1."""
    infiniband_devices: Annotated[str, Field(pattern=r"^[=^]?[A-Za-z0-9_.,:-]+$")] | None = None
    """NCCL_IB_HCA."""


class Torchrun(Section):
    host: DnsSubdomain | None = None
    """The first host, which all others can reach; needed for more than one node."""


class SlurmContainer(Section):
    runtime: Literal["apptainer", "pyxis"]
    image: Text | None = None
    """As the runtime spells it; default: the job's `image` as docker:// (apptainer only)."""
    mounts: list[AbsolutePath] = []
    """Folders of the host that the container sees under the same path, besides `output`."""


class Slurm(Section):
    partition: SlurmWord | None = None
    account: SlurmWord | None = None
    qos: SlurmWord | None = None
    reservation: SlurmWord | None = None
    constraint: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.,:&|()\[\]*-]+$")] | None = None
    exclusive: bool = False
    requeues_max: int = Field(50, ge=0)
    """How often the job may start again after it was stopped to make room or ran out of time."""
    modules: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./+-]*$")]] = []
    venv: AbsolutePath | None = None
    """A virtual environment with corpusmill, put first on PATH."""
    container: SlurmContainer | None = None


class Claim(Section):
    """A PersistentVolumeClaim that exists, and where the job sees it."""

    claim: DnsSubdomain
    path: AbsolutePath
    read_only: bool = False


class Toleration(Section):
    key: LabelKey
    operator: Literal["Exists", "Equal"] = "Exists"
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None

    @model_validator(mode="after")
    def _value_fits_operator(self) -> Toleration:
        if (self.value is None) != (self.operator == "Exists"):
            raise ValueError("operator Equal needs a value, operator Exists takes none")
        return self


class Kubernetes(Section):
    namespace: DnsLabel | None = None
    claims: list[Claim] = []
    node_selector: dict[LabelKey, LabelValue] = {}
    tolerations: list[Toleration] = []
    gpu_resource: LabelKey = "nvidia.com/gpu"
    extra_resources: dict[LabelKey, Annotated[int, Field(ge=1)]] = {}
    """Devices a pod needs besides GPUs, such as rdma/hca: 1."""
    queue: DnsSubdomain | None = None
    """Kueue's local queue, which starts all pods of a job or none."""
    priority_class: DnsSubdomain | None = None
    service_account: DnsSubdomain | None = None
    image_pull_secret: DnsSubdomain | None = None
    runtime: Literal["TrainingRuntime", "ClusterTrainingRuntime"] = "TrainingRuntime"
    """Kind of the Kubeflow runtime that is made for the job."""


class TrainingJob(Section):
    """One training job. docs/launch.md explains each key."""

    name: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=NAME_LENGTH_MAX)]
    stage: Stage
    config: Text
    """A relative path is a file beside the description, which travels inside the rendered job; an
    absolute path is where the job finds the file."""
    overrides: list[Annotated[str, AfterValidator(_override)]] = []
    output: AbsolutePath
    """The folder of the run, on storage that all nodes share; given to the trainer as `output`."""
    image: Annotated[str, AfterValidator(_image)] | None = None
    nodes: int = Field(1, ge=1, le=9999)
    gpus_per_node: int = Field(ge=1)
    cpus_per_node: int = Field(ge=1)
    memory_gib_per_node: int = Field(ge=1)
    shared_memory_gib: int = Field(16, ge=1)
    scratch_gib: int = Field(64, ge=1)
    time_limit_minutes: int | None = Field(None, ge=2)
    """Of one attempt, not of the whole training; longer than the grace period."""
    grace_seconds: int = Field(120, ge=GRACE_MIN_SECONDS, le=65535)
    """From SIGTERM to SIGKILL: what the trainer has to save its state."""
    max_restarts: int = Field(3, ge=0)
    """After failures; stopping to make room does not count."""
    rendezvous_port: int | None = Field(None, ge=1024, le=65535)
    environment: dict[VariableName, Text] = {}
    secrets: list[Secret] = []
    network: Network = Network()
    torchrun: Torchrun = Torchrun()
    slurm: Slurm = Slurm()
    kubernetes: Kubernetes = Kubernetes()

    @property
    def processes(self) -> int:
        """One a GPU, over all nodes."""
        return self.nodes * self.gpus_per_node

    @property
    def image_is_pinned(self) -> bool:
        """Whether the image is named by what it contains."""
        return self.image is not None and "@sha256:" in self.image

    @model_validator(mode="after")
    def _environment_is_ours_to_set(self) -> TrainingJob:
        names = [secret.name for secret in self.secrets]
        for name in (*self.environment, *names):
            if _RESERVED.fullmatch(name):
                raise ValueError(f"environment: {name} is set by the launcher")
        for name, value in self.environment.items():
            if name in names:
                raise ValueError(f"environment: {name} is also in `secrets`")
            if names_a_secret(name) or looks_secret(value):
                raise ValueError(
                    f"environment: {name} looks like a secret; list it under `secrets` with the "
                    "Kubernetes secret or the file it comes from"
                )
        if len(set(names)) < len(names):
            raise ValueError("secrets: a name is given twice")
        return self

    @model_validator(mode="after")
    def _attempt_outlasts_its_signal(self) -> TrainingJob:
        if self.time_limit_minutes is None:
            return self
        # The signal to stop comes this long before the end: an attempt that gets it at its start
        # does nothing but go back into the queue.
        needed = self.grace_seconds + SIGNAL_EARLY_SECONDS
        if self.time_limit_minutes * 60 <= needed:
            raise ValueError(
                f"time_limit_minutes: {self.time_limit_minutes} leaves no time to train before the "
                f"signal to stop: with grace_seconds: {self.grace_seconds} and a signal that may "
                f"come {SIGNAL_EARLY_SECONDS} s early, write {needed // 60 + 1} or more"
            )
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> TrainingJob:
        if self.shared_memory_gib > self.memory_gib_per_node:
            raise ValueError(
                f"shared_memory_gib: {self.shared_memory_gib} is more than memory_gib_per_node"
            )
        config = PurePosixPath(self.config)
        if config.suffix not in {".yaml", ".yml", ".json"} or ".." in config.parts:
            raise ValueError("config: write the path of a .yaml or .json file, without '..'")
        return self
