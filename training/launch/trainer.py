"""The command and the environment of the trainer, the same on every target."""

from __future__ import annotations

from schemas.job import TrainingJob
from training.launch.description import Launch

DEFAULT_PORT = 29500
"""torchrun's own (torch.distributed.run, --master-port)."""

EXIT_MARGIN_SECONDS = 10
"""What torchrun keeps of the grace period to end processes that did not."""


def trainer_command(launch: Launch, config_folder: str) -> list[str]:
    """`corpusmill STAGE CONFIG --set ...`, which torchrun starts once a GPU."""
    job = launch.job
    command = ["corpusmill", job.stage, launch.config_path(config_folder)]
    for override in (*job.overrides, f"output={job.output}"):
        command += ["--set", override]
    return command


def environment(job: TrainingJob) -> dict[str, str]:
    """Variables without secrets; those of the description win.

    torchrun kills its processes 30 seconds after it was told to stop unless
    TORCH_ELASTIC_SHUTDOWN_TIMEOUT says otherwise (torch 2.12 and later, launcher/api.py).
    """
    network = job.network
    variables = {
        "PYTHONUNBUFFERED": "1",
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(job.grace_seconds - EXIT_MARGIN_SECONDS),
    }
    if network.interface is not None:
        variables["NCCL_SOCKET_IFNAME"] = network.interface
        if network.interface[0] not in "=^":  # a pattern is NCCL's notation, Gloo takes names
            variables["GLOO_SOCKET_IFNAME"] = network.interface
    if network.infiniband is False:
        variables["NCCL_IB_DISABLE"] = "1"
    if network.infiniband_devices is not None:
        variables["NCCL_IB_HCA"] = network.infiniband_devices
    return variables | dict(job.environment)
