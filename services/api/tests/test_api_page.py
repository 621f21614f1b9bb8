"""The dashboard's files as the gateway serves them, and what it says where none were built."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tickbus_api.page import add_page

SCRIPT = b"console.log('x');\n" * 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A build of the page."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>tickbus</title>")
    (tmp_path / "assets" / "index-abc123.js").write_bytes(SCRIPT)
    (tmp_path / "theme.js").write_text("1;")
    return tmp_path


def a_browser(folder: Path) -> httpx.AsyncClient:
    app = FastAPI()
    add_page(app, folder)
    transport: Any = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


async def test_page_is_asked_for_anew_and_its_assets_never_again(folder: Path) -> None:
    async with a_browser(folder) as http:
        page = await http.get("/")
        script = await http.get("/assets/index-abc123.js")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cache-control"] == "no-cache"
    assert script.content == SCRIPT
    assert script.headers["content-encoding"] == "gzip"
    assert "javascript" in script.headers["content-type"]
    assert "immutable" in script.headers["cache-control"]


async def test_page_may_load_nothing_from_elsewhere_and_run_nothing_inline(folder: Path) -> None:
    async with a_browser(folder) as http:
        policy = (await http.get("/")).headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["frame-ancestors"] == "'none'"
    assert {rules[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}


async def test_browser_that_has_the_page_is_told_so(folder: Path) -> None:
    async with a_browser(folder) as http:
        etag = (await http.get("/theme.js")).headers["etag"]
        again = await http.get("/theme.js", headers={"if-none-match": etag})
    assert (again.status_code, again.content) == (304, b"")


async def test_client_that_cannot_unpack_gets_it_plain(folder: Path) -> None:
    async with a_browser(folder) as http:
        script = await http.get("/assets/index-abc123.js", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in script.headers
    assert script.content == SCRIPT


async def test_script_of_an_older_build_is_not_answered_with_the_page(folder: Path) -> None:
    async with a_browser(folder) as http:
        gone = await http.get("/assets/index-old.js")
        outside = await http.get("/assets/..%2Findex.html")
    assert gone.status_code == 404
    assert gone.headers["content-type"].startswith("text/plain")
    assert outside.status_code == 404


async def test_gateway_without_a_build_says_how_to_make_one_and_then_serves_it(
    tmp_path: Path,
) -> None:
    async with a_browser(tmp_path) as http:
        missing = await http.get("/")
        (tmp_path / "index.html").write_text("built")
        built = await http.get("/")
    assert missing.status_code == 503
    assert "make dashboard" in missing.text
    assert built.text == "built"
