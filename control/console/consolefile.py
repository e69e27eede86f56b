"""console.json: how programs of this machine find a running console, and prove that they may."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from ..tls import write_private

CONSOLE_FILE_NAME: Final = "console.json"


class ConsoleFileError(ValueError):
    """There is no console.json, or it is not one."""


class ConsoleFile(BaseModel):
    """Where the console is, and its token. Written with mode 0600.

    ``url`` ends with /console. Without ``ca_file`` it is plain HTTP on this machine, or the
    machine's roots vouch for it.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    url: str
    token: str = Field(repr=False)
    ca_file: Path | None
    pid: int

    @classmethod
    def load(cls, state_dir: Path) -> Self:
        """Read console.json in *state_dir*.

        Raises: ConsoleFileError naming the file and what is wrong with it; no secret is quoted.
        """
        path = state_dir / CONSOLE_FILE_NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ConsoleFileError(
                f"no {path}: start `mixminus dev --state {state_dir}` first"
            ) from None
        except OSError as error:
            raise ConsoleFileError(f"cannot read {path}: {error.strerror}") from None
        except ValidationError as error:
            message = error.errors(include_input=False, include_url=False)[0]["msg"]
            raise ConsoleFileError(f"{path} is not a console.json: {message}") from None

    def save(self, state_dir: Path) -> Path:
        """Write console.json to *state_dir* in one step; return its path."""
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = state_dir / CONSOLE_FILE_NAME
        write_private(path, self.model_dump_json(by_alias=True, indent=2).encode() + b"\n")
        return path
