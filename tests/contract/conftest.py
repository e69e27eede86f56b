from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.util import find_spec

import pytest
import pytest_asyncio

from tests.service_kit import GraphHttp, running_service

# All of them are slow, and `make check` installs what they need.
collect_ignore_glob = [] if find_spec("msgraph_beta") else ["test_sdk*.py"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_graph(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GraphHttp]:
    """One service for a module, and a client with a token."""
    state_dir = tmp_path_factory.mktemp("state")
    async with running_service(state_dir) as service, GraphHttp(service.dev_file) as graph:
        yield graph
