"""Microsoft's own client (msgraph-beta-sdk), with nothing changed but base URL and credential."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
from azure.core.credentials import AccessToken
from kiota_abstractions.serialization import Parsable
from kiota_authentication_azure.azure_identity_authentication_provider import (
    AzureIdentityAuthenticationProvider,
)
from kiota_serialization_json.json_parse_node_factory import JsonParseNodeFactory
from msgraph_beta import GraphRequestAdapter, GraphServiceClient
from msgraph_beta.generated.models.call import Call
from msgraph_core import GraphClientFactory

from mixminus.control.devfile import DevFile
from mixminus.control.tls import client_context
from tests.service_kit import GraphHttp

Parsed = TypeVar("Parsed", bound=Parsable)
VERSION = "1.66.0"
"""The SDK's version that these tests were written with."""
VERBS = re.compile(r"async def (get|post|patch|put|delete)\(")
TEMPLATE = re.compile(r'super\(\)\.__init__\(request_adapter, "\{\+baseurl\}([^"]+)"')


def builders(folder: str) -> list[str]:
    """Name every request that the SDK can make from a folder of its: "POST /communications/...".

    Read from its files: importing them all takes long, and is not needed to know what there is.
    """
    spec = find_spec("msgraph_beta")
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent / "generated" / folder
    found = []
    for path in sorted(root.rglob("*_request_builder.py")):
        text = path.read_text()
        template = TEMPLATE.search(text)
        assert template is not None, path
        url = re.sub(r"\{\?[^}]*\}", "", template.group(1)).replace("%2D", "-")
        found += [f"{verb.upper()} {url}" for verb in VERBS.findall(text)]
    assert found
    return found


class ClientSecret:
    """A credential for the service's authority, as the SDK wants one."""

    def __init__(self, dev: DevFile) -> None:
        self._dev = dev

    async def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **options: Any,
    ) -> AccessToken:
        assert scopes == ("https://graph.microsoft.com/.default",)
        async with GraphHttp(self._dev) as graph:
            token = await graph.token()
        return AccessToken(token, int(time.time()) + 3599)

    async def close(self) -> None:
        """Nothing is kept open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()


@asynccontextmanager
async def sdk_client(dev: DevFile) -> AsyncIterator[GraphServiceClient]:
    """Aim the SDK at a service."""
    auth = AzureIdentityAuthenticationProvider(
        ClientSecret(dev), scopes=["https://graph.microsoft.com/.default"]
    )
    transport = httpx.AsyncHTTPTransport(verify=client_context(dev.ca_file), trust_env=False)
    # Named, to be closed here: the factory puts a transport of its own over it, which never does.
    async with transport, httpx.AsyncClient(transport=transport) as http:
        client = GraphClientFactory.create_with_default_middleware(client=http)
        adapter = GraphRequestAdapter(auth, client=client)
        adapter.base_url = f"{dev.graph_base_url}/beta"
        yield GraphServiceClient(request_adapter=adapter)


def load_models() -> None:
    """Import what the first answer costs: three thousand modules, seconds without a loop."""
    parsed(Call, {})


def parsed(kind: type[Parsed], document: Any) -> Parsed:
    """Return what the SDK makes of a JSON document."""
    node = JsonParseNodeFactory().get_root_parse_node(
        "application/json", json.dumps(document).encode()
    )
    factory: Any = kind
    value: Any = node.get_object_value(factory)
    assert isinstance(value, kind)
    return value
