"""Settings of how a process is run: logs, load, stopping, metrics. The same for either role."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from ..config.section import SettingsSection


class OperationSettings(SettingsSection):
    """How a process that serves is operated: ``[operation]``, ``MIXMINUS_OPERATION_...``."""

    model_config = SettingsConfigDict(env_prefix="MIXMINUS_OPERATION_")

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """From which level on messages are logged."""
    log_format: Literal["auto", "text", "json"] = "auto"
    """One line of text or one JSON object a message; auto: text on a terminal, else JSON."""

    instance: str = Field(default="", max_length=200)
    """What this process is called in logs and traces; empty: ``host.instance`` if that is set, else
    the name of the machine."""

    drain_s: float = Field(default=30.0, ge=0)
    """How long after SIGTERM calls may go on before they are ended."""

    admission: bool = True
    """Whether new calls are refused while the process is overloaded. While it drains they are
    refused in any case."""
    heavily_loaded_ratio: float = Field(default=0.70, ge=0.1, le=10)
    """From which share of its capacity on the process says that it is heavily loaded."""
    overloaded_ratio: float = Field(default=0.85, ge=0.1, le=10)
    """From which share of its capacity on the process is overloaded and refuses new calls."""
    retry_after_s: float = Field(default=10.0, ge=1, le=3600)
    """What a refused call is told in Retry-After, in seconds."""
    capacity_tick_thread_share: float = Field(default=0.85, gt=0, le=1)
    """How busy a tick thread may be, as a share of a core, when that is all it can carry."""
    capacity_packet_thread_share: float = Field(default=0.75, gt=0, le=1)
    """The same of the thread that reads datagrams."""
    capacity_loop_share: float = Field(default=0.90, gt=0, le=1)
    """The same of the event loop's thread: signalling, media links, telephony streams."""
    capacity_process_share: float = Field(default=0.90, gt=0, le=1)
    """How much of all processors that it may use the whole process may take."""
    capacity_tick_time_ms: float = Field(default=20.0, gt=0, le=20)
    """How long ticks may take at the 99th percentile, in milliseconds; there is one each 20."""

    metrics: bool = True
    """Whether /metrics answers Prometheus."""
    metrics_token: SecretStr | None = Field(default=None, min_length=16)
    """What a request for /metrics must bear as ``Authorization: Bearer``, when it is set."""

    otel_endpoint: str | None = None
    """Where traces of how calls are set up go, as OTLP over HTTP:
    http://localhost:4318/v1/traces. Without it nothing is traced. Needs ``mixminus[otel]``."""
    otel_service_name: str = Field(default="mixminus", min_length=1)
    """What this service is called in traces."""
    otel_sample_ratio: float = Field(default=1.0, ge=0, le=1)
    """The share of calls that is traced; one whose request came with a trace follows that."""

    @field_validator("otel_endpoint")
    @classmethod
    def _check_endpoint(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError(f"expected an http or https URL, got {url!r}")
        return url

    @model_validator(mode="after")
    def _check_ratios(self) -> Self:
        if self.heavily_loaded_ratio >= self.overloaded_ratio:
            raise ValueError(
                "heavily_loaded_ratio: expected less than overloaded_ratio"
                f" ({self.overloaded_ratio:g}), got {self.heavily_loaded_ratio:g}"
            )
        return self
