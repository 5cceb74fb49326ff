"""What a Slurm site asks for: slurm/site.yaml and the environment, read by slurm/config.yaml."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from matcg.config.base import Model, Positive
from matcg.config.explain import validate
from matcg.config.yaml_file import parse_yaml
from matcg.errors import ConfigError

PREFIX = "MATCG_SLURM_"
GRES = "gres_of"  # a resource of jobs: how --gres asks for so many ({n}) GPUs
_KEPT = 240  # seconds that a finished job must be known for, so that the plugin sees its end


class Site(Model):
    """One cluster's answers; what is None is left to the cluster's own default."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gpu_partition: str | None = None
    gpu_qos: str | None = None
    gpu_constraint: str | None = None
    gpu_model: str | None = None
    gres: str | None = None
    software: Literal["none", "conda", "apptainer"] = "none"
    setup: str | None = None
    status: Literal["squeue", "sacct"] = "squeue"
    jobs: Positive = 100

    @field_validator("gres")
    @classmethod
    def _pattern(cls, gres: str | None) -> str | None:
        if gres and "{n}" not in gres:
            raise ValueError(f"'{gres}' has no {{n}}, which stands for a job's number of GPUs")
        return gres

    @property
    def gpu(self) -> dict[str, str | int]:
        """Resources of the rules that use a GPU, beside how many their backbone's file asks for."""
        asked = {
            "slurm_partition": self.gpu_partition,
            "qos": self.gpu_qos,
            "constraint": self.gpu_constraint,
            "gpu_model": self.gpu_model,
        }
        given: dict[str, str | int] = {key: quoted(value) for key, value in asked.items() if value}
        # The rules fill it for each job (`common.smk`), and ask for no `gpu` beside it.
        return given | ({GRES: quoted(self.gres)} if self.gres else {})

    @property
    def everywhere(self) -> dict[str, str]:
        """Resources of all rules."""
        asked = {
            "slurm_partition": self.partition,
            "slurm_account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
        }
        return {key: quoted(value) for key, value in asked.items() if value}


def quoted(text: str) -> str:
    """Return a text that Snakemake, which evaluates resources as Python, takes as it stands."""
    return repr(text)


def read_site(path: Path, environment: Mapping[str, str] = os.environ) -> Site:
    """Return the answers of a file; variables MATCG_SLURM_KEY take precedence over its keys.

    Raises:
        ConfigError: unreadable YAML, an unknown key or variable, or a value that is no such answer.
    """
    given = _of_file(path) | _of_environment(environment)
    for key, (value, where) in given.items():
        if value is not None or key not in Site.model_fields:
            validate(Site, {key: value}, where)
    said = {key: value for key, (value, _) in given.items() if value is not None}
    return Site(**{"status": said.get("status") or status_command(configuration()), **said})


def _of_file(path: Path) -> dict[str, tuple[Any, str]]:
    """Return each key's value and where it was said; nothing where there is no file."""
    if not path.exists():
        return {}
    read = parse_yaml(path.read_text(encoding="utf-8"), str(path)) or {}
    if not isinstance(read, dict):
        raise ConfigError(f"{path}: holds no `key: value` lines")
    return {str(key): (value, str(path)) for key, value in read.items()}


def _of_environment(environment: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    """Return the same of the variables; an empty one counts as null, a number as a number."""
    found: dict[str, tuple[Any, str]] = {}
    for name, value in sorted(environment.items()):
        if name.startswith(PREFIX):
            key = name.removeprefix(PREFIX).lower()
            number = key == "jobs" and value.isdecimal()
            found[key] = (int(value) if number else value or None, f"environment: {name}")
    return found


def configuration() -> dict[str, str]:
    """Return what this cluster's Slurm is configured to; nothing where there is none."""
    try:
        asked = subprocess.run(
            ["scontrol", "show", "config"], capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    rows = (line.partition("=") for line in asked.stdout.splitlines())
    return {name.strip(): value.strip() for name, _, value in rows}


def status_command(slurm: Mapping[str, str]) -> str:
    """Return how the end of jobs is seen: squeue where it knows finished jobs for long enough.

    The plugin looks every 180 seconds at the rarest (`MinJobAge` is 300 where nobody changed it).
    Otherwise sacct, which the plugin reads less well: it needs `mend_sacct`.
    """
    kept = slurm.get("MinJobAge", "").split(" ")[0]
    if slurm.get("AccountingStorageType", "").endswith("slurmdbd") and kept.isdecimal():
        return "squeue" if int(kept) >= _KEPT else "sacct"
    return "squeue"


def mend_sacct(folder: Path) -> None:
    """Let this process find the sacct of `folder`, which the plugin can read."""
    os.environ["PATH"] = f"{folder.absolute()}{os.pathsep}{os.environ['PATH']}"
