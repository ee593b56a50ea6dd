"""An sbatch script: srun starts one torchrun a node, which meet at the first node."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.errors import UsageError
from schemas.job import TrainingJob
from training.launch.description import Launch
from training.launch.script import config_folder, render_script
from training.launch.target import Rendered, Target
from training.launch.trainer import trainer_command

NODE_COMMAND = (
    'exec torchrun --local-addr="$SLURMD_NODENAME" --rdzv-conf="is_host=$((SLURM_NODEID == 0))" '
    '"$@"'
)
"""What each node runs. The names of nodes are SLURM's, so that the meeting point and the address
that a node gives itself do not depend on what its own hostname resolves to."""


def render(launch: Launch) -> Rendered:
    """The script. Raises UsageError for a container without an image or with folders that its
    mount list cannot express."""
    job = launch.job
    options = [
        f"--nnodes={job.nodes}",
        f"--nproc-per-node={job.gpus_per_node}",
        "--rdzv-backend=c10d",
        "--max-restarts=0",  # the script starts all nodes anew
        "--no-python",
    ]
    flags, prefix = _container(job)
    text = render_script(
        "slurm.sh.j2",
        launch,
        directives=list(directives(job)),
        step=[
            f"--cpus-per-task={job.cpus_per_node}",  # srun stopped inheriting it in 22.05
            "--kill-on-bad-exit=0",
            f"--wait={job.grace_seconds}",
            *flags,
        ],
        node=[*prefix, "bash", "-c", NODE_COMMAND, "torchrun"],
        torchrun=options,
        trainer=trainer_command(launch, config_folder(launch)),
    )
    return Rendered(f"{job.name}.sbatch", text, executable=True)


def directives(job: TrainingJob) -> Iterator[str]:
    """The #SBATCH options, as `--name=value` or `--name`."""
    slurm = job.slurm
    yield f"--job-name={job.name}"
    yield f"--output={job.name}-%j.log"
    yield "--open-mode=append"  # one log over all attempts
    yield f"--nodes={job.nodes}"
    yield "--ntasks-per-node=1"
    yield f"--gpus-per-node={job.gpus_per_node}"
    yield f"--cpus-per-task={job.cpus_per_node}"
    yield f"--mem={job.memory_gib_per_node}G"
    if job.time_limit_minutes is not None:
        hours, minutes = divmod(job.time_limit_minutes, 60)
        yield f"--time={hours // 24}-{hours % 24:02}:{minutes:02}"
    yield f"--signal=B:TERM@{job.grace_seconds}"
    yield "--requeue"
    for name in ("partition", "account", "qos", "reservation", "constraint"):
        if (value := getattr(slurm, name)) is not None:
            yield f"--{name}={value}"
    if slurm.exclusive:
        yield "--exclusive"


def _container(job: TrainingJob) -> tuple[list[str], list[str]]:
    """Options of srun, and the command before the node's, that put it into the container."""
    container = job.slurm.container
    if container is None:
        return [], []
    mounts = [job.output, *container.mounts]
    for mount in mounts:
        if set(mount) & set(",:"):
            raise UsageError(f"slurm.container: {mount} has a comma or colon and cannot be mounted")
    if container.runtime == "pyxis":
        if container.image is None:
            raise UsageError("slurm.container.image: pyxis needs the image as enroot spells it")
        pairs = ",".join(f"{mount}:{mount}" for mount in mounts)
        return [f"--container-image={container.image}", f"--container-mounts={pairs}"], []
    image = container.image or (job.image and f"docker://{job.image}")
    if not image:
        raise UsageError("image: the container needs one (image, or slurm.container.image)")
    binds = [f"--bind={mount}" for mount in mounts]
    return [], ["apptainer", "exec", "--nv", *binds, image]


TARGET = Target("an sbatch script that resumes by itself", render, ("sbatch",))
