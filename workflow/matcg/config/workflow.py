"""The config file itself: which experiments run, where data lie, what it all may take."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool, model_validator

from matcg.config.base import Float, Model, Positive, Words

PROMPTS = 16  # that the transformers engine answers at once, where `max_num_seqs` does not say


class Engine(Model):
    """Settings of the prediction engine; they change how fast it answers.

    In bfloat16 also, by rounding, which of two answers is said that are about equally likely.
    """

    runs: Positive = Field(default=32, description="runs at most that one engine answers for")

    gpu_memory_utilization: Annotated[Float, Field(gt=0, le=1)] | None = None
    kv_cache_mb: Positive | None = Field(
        default=None, description="memory for attention keys on a CPU"
    )
    max_num_seqs: Positive | None = Field(default=None, description="questions answered at once")
    max_model_len: Positive = Field(
        default=8192,
        description="tokens of the longest prompt that vLLM keeps memory for, where the backbone"
        " takes more; one that exceeds it is an error",
    )
    enforce_eager: StrictBool = Field(
        default=True, description="vLLM compiles nothing: it starts sooner, and answers more slowly"
    )
    model_runner: Literal["v1", "v2"] = Field(
        default="v1",
        description="vLLM's own code around a model: v1, which this workflow is tested with, or"
        " v2, which vLLM takes by itself on GPUs",
    )
    batch_invariant: StrictBool = Field(
        default=False,
        description="vLLM's kernels that round alike whatever is asked together: slower, for cards"
        " of compute capability 9.0 (H100) or more",
    )


class Training(Model):
    """How a fine-tuning survives being killed; changes no result and reruns nothing."""

    checkpoint_minutes: Annotated[Float, Field(gt=0)] | None = Field(
        default=10.0,
        description="between two checkpoints; null: only when the job is told to stop",
    )


class Budget(Model):
    """What the whole plan may take; nothing is launched above it. Null: no bound."""

    gpu_hours: Annotated[Float, Field(gt=0)] | None = None
    cpu_hours: Annotated[Float, Field(gt=0)] | None = None
    disk_gb: Annotated[Float, Field(gt=0)] | None = None


class Limit(Model):
    """A smoke run: less of everything, under names of its own, and marked wherever it is shown."""

    targets: Positive | None = Field(
        default=None, description="only the first targets of each experiment, in order of their ids"
    )
    questions: Positive | None = Field(
        default=None, description="only the first questions of each target, its labels in turn"
    )

    @model_validator(mode="after")
    def _limits(self) -> "Limit":
        if not (self.targets or self.questions):
            raise ValueError("give `targets`, `questions` or both; without `limit` all is run")
        return self

    @property
    def mark(self) -> str:
        """Return what stands beside the figures of such a run."""
        parts = [f"{n} {name}" for name, n in self if n]
        return f"smoke run, at most {' and '.join(parts)}{' each' if self.questions else ''}"


class Config(Model):
    """The file that says what to run: `config.yaml`."""

    experiments: Annotated[Words, Field(min_length=1)]
    data: dict[str, str | None] = Field(
        default_factory=dict, description="a catalog's folder of images, by the catalog's name"
    )
    catalog: str | None = Field(
        default=None, description="the catalog whose tables `snakemake catalog` looks at"
    )
    downloads: str | None = Field(
        default=None,
        description="the folder that `snakemake fetch_images` fetches into, and from which"
        " `place_images` links pictures; by default `downloads` in the catalog's data folder",
    )
    budget: Budget = Field(default=Budget())
    missing: Literal["refuse", "show"] = Field(
        default="refuse",
        description="evaluations without answers: an error; or shown as missing in tables and"
        " report, which are made from the answers that there are, and nothing is trained or asked",
    )
    card_gb: Positive | None = Field(
        default=None,
        description="GB of each GPU that jobs get, as it is sold; null: what nvidia-smi says where"
        " jobs run on this machine, else unknown",
    )
    engine: Engine = Field(default=Engine())
    training: Training = Field(default=Training())
    limit: Limit | None = Field(
        default=None, description="a smoke run of the experiments, whose results stand apart"
    )
