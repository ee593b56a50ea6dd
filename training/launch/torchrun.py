"""A script that starts torchrun on one host; the same script runs on each of several."""

from __future__ import annotations

from schemas.errors import UsageError
from training.launch.description import Launch
from training.launch.script import config_folder, render_script
from training.launch.target import Rendered, Target
from training.launch.trainer import DEFAULT_PORT, trainer_command


def render(launch: Launch) -> Rendered:
    """The script. Raises UsageError when there are several nodes and no first host."""
    job = launch.job
    options = [f"--nnodes={job.nodes}", f"--nproc-per-node={job.gpus_per_node}"]
    if job.nodes == 1:
        options.append("--standalone")
    else:
        if job.torchrun.host is None:
            raise UsageError(
                f"torchrun.host: {job.nodes} nodes need the name of the first host, which the "
                "others can reach"
            )
        port = job.rendezvous_port or DEFAULT_PORT
        options += [
            f"--rdzv-id={job.name}",
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={job.torchrun.host}:{port}",
        ]
    options += [f"--max-restarts={job.max_restarts}", "--no-python"]
    text = render_script(
        "torchrun.sh.j2",
        launch,
        torchrun=["torchrun", *options],
        trainer=trainer_command(launch, config_folder(launch)),
    )
    return Rendered(f"{job.name}.torchrun.sh", text, executable=True)


TARGET = Target(
    "a script that runs torchrun, started on every host", render, ("torchrun",), runs_here=True
)
