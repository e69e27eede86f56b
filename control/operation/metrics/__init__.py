"""Metrics for Prometheus: the catalogue, the sources that are asked, and ``/metrics``."""

from .admission import AdmissionSource
from .calls import collect_calls
from .engine import EngineSource
from .families import Families
from .metrics import Metrics, Source
from .plugins import collect_plugins
from .routes import HttpCounts, add_metrics
from .store import collect_store

__all__ = [
    "AdmissionSource",
    "EngineSource",
    "Families",
    "HttpCounts",
    "Metrics",
    "Source",
    "add_metrics",
    "collect_calls",
    "collect_plugins",
    "collect_store",
]
