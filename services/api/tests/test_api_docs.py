"""The page at /docs, as a browser without the internet gets it."""

import re
from typing import Any

import httpx

from tickbus_api.app import create_app


async def test_documentation_needs_nothing_from_elsewhere() -> None:
    nobody: Any = None
    transport = httpx.ASGITransport(app=create_app(nobody))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        page = (await http.get("/docs")).text
        wanted = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert any(url.endswith(".js") for url in wanted)
        assert any(url.endswith(".css") for url in wanted)
        for url in wanted:
            assert url.startswith("/"), url
            assert (await http.get(url)).status_code == 200
