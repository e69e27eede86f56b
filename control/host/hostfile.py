"""host.json: how the commands on this machine find a running bot host, and prove that they may."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from ..tls import write_private

HOST_FILE_NAME: Final = "host.json"


class HostFileError(ValueError):
    """There is no host.json, or it is not one."""


class HostFile(BaseModel):
    """Where a bot host's admin API is, and the token that it wants. Written with mode 0600.

    Without ``ca_file`` the machine's roots vouch for the host.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    url: str
    token: str = Field(repr=False)
    ca_file: Path | None
    pid: int

    @classmethod
    def load(cls, state_dir: Path) -> Self:
        """Read host.json in *state_dir*.

        Raises: HostFileError naming the file and what is wrong with it; no secret is quoted.
        """
        path = state_dir / HOST_FILE_NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise HostFileError(
                f"no {path}: start `mixminus serve --state {state_dir}` first"
            ) from None
        except OSError as error:
            raise HostFileError(f"cannot read {path}: {error.strerror}") from None
        except ValidationError as error:
            message = error.errors(include_input=False, include_url=False)[0]["msg"]
            raise HostFileError(f"{path} is not a host.json: {message}") from None

    def save(self, state_dir: Path) -> Path:
        """Write host.json to *state_dir* in one step; return its path."""
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = state_dir / HOST_FILE_NAME
        write_private(path, self.model_dump_json(by_alias=True, indent=2).encode() + b"\n")
        return path
