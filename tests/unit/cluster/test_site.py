"""What a Slurm site asks for: from the file, from the environment, and what is refused."""

from pathlib import Path

import pytest

from matcg.cluster.site import Site, read_site, status_command
from matcg.errors import ConfigError

SHIPPED = Path(__file__).parents[3] / "slurm/site.yaml"


def write(folder: Path, text: str) -> Path:
    path = folder / "site.yaml"
    path.write_text(text)
    return path


def test_the_shipped_file_leaves_all_to_the_cluster() -> None:
    site = read_site(SHIPPED, {})
    assert site == Site(status=site.status)
    assert site.everywhere == site.gpu == {}


def test_a_file_and_the_environment_which_wins(tmp_path: Path) -> None:
    path = write(
        tmp_path, "account: chem1\npartition: cpu\ngpu_partition: gpu-long\nstatus: sacct\n"
    )
    site = read_site(path, {"MATCG_SLURM_ACCOUNT": "chem42", "MATCG_SLURM_JOBS": "7", "HOME": "/"})
    assert (site.account, site.jobs, site.status) == ("chem42", 7, "sacct")
    # As Python texts: `gpu-long` alone would be a subtraction where both names are known.
    assert site.everywhere == {"slurm_partition": "'cpu'", "slurm_account": "'chem42'"}
    assert site.gpu == {"slurm_partition": "'gpu-long'"}


def test_an_empty_variable_takes_an_answer_back(tmp_path: Path) -> None:
    path = write(tmp_path, "qos: long\nstatus: squeue\n")
    assert read_site(path, {"MATCG_SLURM_QOS": ""}).qos is None


@pytest.mark.parametrize(
    ("kept", "storage", "command"),
    [
        ("300 sec", "accounting_storage/slurmdbd", "squeue"),
        ("60 sec", "accounting_storage/slurmdbd", "sacct"),
        ("60 sec", "accounting_storage/none", "squeue"),
    ],
)
def test_finished_jobs_are_looked_up_where_slurm_knows_them(
    kept: str, storage: str, command: str
) -> None:
    assert status_command({"MinJobAge": kept, "AccountingStorageType": storage}) == command
    assert status_command({}) == "squeue"


def test_gres_is_asked_for_in_place_of_gpus(tmp_path: Path) -> None:
    site = read_site(write(tmp_path, "gres: 'gpu:{n}'\nstatus: squeue\n"), {})
    assert site.gpu == {"gres_of": "'gpu:{n}'"}


@pytest.mark.parametrize(
    ("text", "environment", "said"),
    [
        ("partitoin: gpu\n", {}, "site.yaml: partitoin: unknown key. Did you mean 'partition'?"),
        (
            "account: 12\n",
            {},
            "site.yaml: account: 12 must be a valid string; YAML reads it as a number: put",
        ),
        ("gres: 'gpu:1'\n", {}, "site.yaml: gres: 'gpu:1' has no {n}"),
        ("jobs: 0\n", {}, "site.yaml: jobs: 0 must be greater than 0"),
        ("software: docker\n", {}, "site.yaml: software: 'docker' must be 'none', 'conda' or"),
        ("- gpu\n", {}, "site.yaml: holds no `key: value` lines"),
        ("a: [\n", {}, "site.yaml, line 2: "),
        ("account: 010\n", {}, "site.yaml, line 1: 010 is no plain decimal number, and YAML"),
        ("", {"MATCG_SLURM_JOBS": "many"}, "environment: MATCG_SLURM_JOBS: jobs: 'many' must be"),
        ("", {"MATCG_SLURM_QUEUE": "x"}, "environment: MATCG_SLURM_QUEUE: queue: unknown key."),
    ],
)
def test_what_no_site_can_mean(
    tmp_path: Path, text: str, environment: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError) as error:
        read_site(write(tmp_path, text), environment)
    assert said in str(error.value)
