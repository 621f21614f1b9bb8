"""The dashboard: one page and its files, as `make dashboard` left them in this package."""

import gzip
import hashlib
import mimetypes
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, FastAPI, Request, Response

FOLDER = Path(__file__).parent / "dashboard"
INDEX = "index.html"
ASSETS = "assets/"
"""Below it, a name holds the hash of what it names: such a file never changes."""

_GZIP_BYTES_MIN = 1_000
_FOREVER = "public, max-age=31536000, immutable"
_ASK = "no-cache"
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_MISSING = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>tickbus</title></head><body>
<h1>tickbus</h1>
<p>The gateway runs, but its dashboard has not been built.</p>
<p>Build it with <code>make dashboard</code> (it needs Node.js 20.19 or newer, or fetches it), then
load this page again; the gateway need not restart.</p>
<p>Everything is at <a href="/docs">/docs</a> too.</p>
</body></html>
"""


class File(NamedTuple):
    """One file as it is sent; `packed` is empty where packing gains nothing."""

    body: bytes
    packed: bytes
    media_type: str
    etag: str


class Page:
    """The files of the page in memory, read again when another build took their place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._built_ns = 0
        self._files: dict[str, File] = {}

    def file(self, name: str) -> File | None:
        """The file `name`, as /-separated path; None when there is none, or no build."""
        index = self._folder / INDEX
        built_ns = index.stat().st_mtime_ns if index.is_file() else 0
        if built_ns != self._built_ns:
            self._files = _read(self._folder) if built_ns else {}
            self._built_ns = built_ns
        return self._files.get(name)


def add_page(app: FastAPI, folder: Path = FOLDER) -> None:
    """Serve the page at `/`, and what it needs beside it."""
    page = Page(folder)
    router = APIRouter(include_in_schema=False)

    async def index(request: Request) -> Response:
        found = page.file(INDEX)
        if found is None:
            return Response(
                _MISSING,
                HTTPStatus.SERVICE_UNAVAILABLE,
                headers=HEADERS | {"Cache-Control": "no-store"},
                media_type="text/html",
            )
        return _answer(request, found, _ASK)

    async def asset(request: Request, name: str) -> Response:
        return _found(request, page.file(ASSETS + name), _FOREVER)

    async def beside(request: Request) -> Response:
        return _found(request, page.file(request.url.path.removeprefix("/")), _ASK)

    methods = ["GET", "HEAD"]
    router.add_api_route("/", index, methods=methods)
    router.add_api_route("/assets/{name}", asset, methods=methods)
    for name in ("icon.svg", "theme.js"):
        router.add_api_route(f"/{name}", beside, methods=methods)
    app.include_router(router)


def _read(folder: Path) -> dict[str, File]:
    return {
        path.relative_to(folder).as_posix(): _file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _file(path: Path) -> File:
    body = path.read_bytes()
    packed = gzip.compress(body, mtime=0) if len(body) >= _GZIP_BYTES_MIN else b""
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return File(body, packed if len(packed) < len(body) else b"", media_type, etag)


def _found(request: Request, file: File | None, caching: str) -> Response:
    if file is None:
        # Not the index: a script that is gone must fail, not parse as HTML.
        text = "no such file of the dashboard: load the page again"
        return Response(text, HTTPStatus.NOT_FOUND, headers=HEADERS, media_type="text/plain")
    return _answer(request, file, caching)


def _answer(request: Request, file: File, caching: str) -> Response:
    headers = HEADERS | {"Cache-Control": caching, "ETag": file.etag, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    body = file.body
    if file.packed and "gzip" in request.headers.get("accept-encoding", ""):
        body = file.packed
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers=headers, media_type=file.media_type)
