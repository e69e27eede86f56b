"""dev.json: how a client, ours or a foreign one, finds its way into a call service."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from .tls import write_private

DEV_FILE_NAME = "dev.json"


class DevFileError(ValueError):
    """There is no dev.json, or it is not one."""


class UnknownUserError(LookupError):
    """No user of the directory has that name or id."""


class DevUser(BaseModel):
    """A user of the service's directory, with the token a caller registers with."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    id: str
    display_name: str
    token: str = Field(repr=False)


class DevMeeting(BaseModel):
    """A meeting of the service, with all that it can be joined by."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    subject: str
    organizer_id: str
    join_url: str
    thread_id: str
    message_id: str
    join_meeting_id: str
    passcode: str | None = Field(default=None, repr=False)


class DevFile(BaseModel):
    """The addresses and credentials of a call service. Members that are not known are ignored."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    tenant_id: str
    app_id: str
    client_secret: str = Field(repr=False)
    authority: str
    graph_base_url: str
    open_id_config_url: str
    notification_issuer: str
    rtc_url: str
    ca_file: Path
    users: tuple[DevUser, ...]
    meetings: tuple[DevMeeting, ...] = ()
    application_instance_id: str | None = None
    """The resource account that the application calls telephones from."""

    @classmethod
    def load(cls, state_dir: Path) -> Self:
        """Read dev.json in *state_dir*, or the file itself when *state_dir* is one.

        Raises: DevFileError naming the file and what is wrong with it; no secret is quoted.
        """
        is_file = state_dir.is_file() or state_dir.suffix == ".json"
        path = state_dir if is_file else state_dir / DEV_FILE_NAME
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            raise DevFileError(
                f"no {path}: start `mixminus service --state {path.parent}` first"
            ) from None
        except OSError as error:
            raise DevFileError(f"cannot read {path}: {error.strerror}") from None
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise DevFileError(
                f"{path} is not a dev.json: {where + ': ' if where else ''}{first['msg']}"
            ) from None

    def save(self, state_dir: Path) -> Path:
        """Write dev.json to *state_dir* in one step, mode 0600; return its path."""
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = state_dir / DEV_FILE_NAME
        write_private(path, self.model_dump_json(by_alias=True, indent=2).encode() + b"\n")
        return path

    def find_user(self, name_or_id: str) -> DevUser:
        """Return the user with that id, or with that display name in any case.

        Raises: UnknownUserError naming who is there.
        """
        wanted = name_or_id.casefold()
        for user in self.users:
            if wanted in (user.id.casefold(), user.display_name.casefold()):
                return user
        names = ", ".join(user.display_name for user in self.users)
        raise UnknownUserError(f"no user {name_or_id!r}: the directory has {names}")
