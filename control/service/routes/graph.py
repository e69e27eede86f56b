"""The calls API: its routes under both versions and all their roots."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from ...graph.odata import ROOTS, VERSIONS
from ...store.base import Store
from .apps import app_routes
from .base import Place, Surface
from .calls import add_calls
from .collections import add_collections


def add_graph_routes(app: FastAPI, surface: Surface, store: Store) -> None:
    """Put the calls API into *app*, and what an application may ask beyond it."""
    for version in VERSIONS:
        for root in ROOTS[version]:
            place = Place(surface, version, root)
            router = APIRouter(prefix=f"/{version}/{root}", tags=[f"Graph {version}"])
            add_calls(router, place)
            add_collections(router, place)
            app.include_router(router)
    app.include_router(app_routes(surface, store))
