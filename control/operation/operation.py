"""What the roles of one process share: settings, admission, metrics, and who is still busy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from mixminus.media.platform import MediaPlatform

from .admission import Admission
from .metrics import AdmissionSource, EngineSource, Metrics
from .redaction import LogRedactor, secrets_of
from .settings import OperationSettings
from .start_phases import StartPhases
from .traces import Traces


class Operation:
    """How one process is operated, whether it is a call service, a bot host, or both.

    Enter it while the platform runs; roles that are given one do not enter it.
    Thread: the loop's.
    """

    def __init__(
        self,
        settings: OperationSettings,
        platform: MediaPlatform,
        *,
        redactor: LogRedactor | None = None,
        traces: Traces | None = None,
    ) -> None:
        self.settings = settings
        self.redactor = redactor or LogRedactor()
        """What takes secrets out of logs and journals: roles let it learn those that they have."""
        self.redactor.learn(*secrets_of(settings))
        self.platform = platform
        self.traces = traces or Traces(settings)
        self.admission = Admission(platform, settings)
        self.metrics = Metrics(settings)
        self.metrics.add_source(EngineSource(platform))
        self.metrics.add_source(AdmissionSource(self.admission))
        self._busy: dict[object, Callable[[], int]] = {}
        self.phases = StartPhases()
        """How long the process's start took, and what of it; roles say where they are."""

    async def __aenter__(self) -> Self:
        """Begin to sample the load, and how late the loop is."""
        self.admission.start()
        self.metrics.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Sample no more."""
        self.metrics.stop()
        self.admission.stop()
        await self.traces.close()

    def expect_platform(self, platform: MediaPlatform) -> None:
        """Check that a role's platform is this one: a load is of one engine.

        Raises: ValueError.
        """
        if platform is not self.platform:
            raise ValueError("expected the platform that the operation was made for")

    @property
    def busy(self) -> int:
        """How many calls the roles of this process still have."""
        return sum(count() for count in self._busy.values())

    def count_calls(self, count: Callable[[], int]) -> Callable[[], None]:
        """Wait for what *count* counts, when the process is to stop. Returns what ends that.

        Taking it off twice is no error.
        """
        key = object()
        self._busy[key] = count

        def forget() -> None:
            self._busy.pop(key, None)

        return forget
