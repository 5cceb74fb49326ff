"""Where a catalog's files can be fetched: a data set on the Hugging Face hub, or links."""

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field, model_validator

from matcg.config.base import Model, Text

Patterns = Annotated[
    tuple[Text, ...],
    Field(min_length=1, description="patterns of the files that are fetched"),
]
UNVERIFIED = "unverified"


class Release(Model):
    """A data set on the Hugging Face hub."""

    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{7,40}$")] = Field(
        description="commit, so that it is the same tomorrow; seven digits or more"
    )
    files: Patterns

    @property
    def place(self) -> str:
        """Return where its files come from."""
        return self.repository


class Links(Model):
    """Files by plain links, with their digests and who says these."""

    url: Annotated[str, Field(pattern=r"^https?://[^{}]*\{file\}[^{}]*$")] = Field(
        description="the link of each file, {file} for its name"
    )
    md5: Annotated[
        dict[
            Annotated[str, Field(pattern=r"^[A-Za-z0-9_][\w.-]*$")],
            Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | Literal["unverified"],
        ],
        Field(min_length=1),
    ] = Field(
        description="the MD5 of each file; `unverified` where none is published: the first fetch"
        " then records what it got"
    )
    source: Text = Field(description="the page or package in which links and digests stand")
    files: Patterns

    @model_validator(mode="after")
    def _some(self) -> "Links":
        if not self.chosen:
            raise ValueError(f"`files`: {' or '.join(self.files)} fits no file of `md5`")
        return self

    @property
    def place(self) -> str:
        """Return where its files come from."""
        return self.url.partition("{")[0]

    @property
    def chosen(self) -> dict[str, str]:
        """Return the digests of the files that are fetched, by name."""
        return {
            name: digest
            for name, digest in sorted(self.md5.items())
            if any(fnmatchcase(name, pattern) for pattern in self.files)
        }

    @property
    def unverified(self) -> list[str]:
        """Return the files that are fetched whose digest nobody has published."""
        return [name for name, digest in self.chosen.items() if digest == UNVERIFIED]
