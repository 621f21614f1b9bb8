"""A webhook and a mail server on loopback that keep what they are given."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.message import Message
from typing import Any


class Webhook:
    """Answers each POST with `status`; `hang` keeps it from answering at all."""

    def __init__(self) -> None:
        self.port = 0
        self.status = 200
        self.hang = False
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.came = asyncio.Event()
        self.tries = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.split("\r\n")
            sizes = [x.partition(":")[2] for x in lines if x.lower().startswith("content-length")]
            body = await reader.readexactly(int(sizes[0]) if sizes else 0)
            self.tries += 1
            if self.hang:
                self.came.set()
                await reader.read()  # until the other side gives up
            else:
                if self.status == 200:
                    self.paths.append(lines[0].split(" ")[1])
                    self.bodies.append(json.loads(body))
                ends = "Content-Length: 0\r\nConnection: close\r\n\r\n"
                writer.write(f"HTTP/1.1 {self.status} X\r\n{ends}".encode())
                await writer.drain()
                self.came.set()
        writer.close()

    @property
    def text(self) -> str:
        """All that it was given, titles and texts."""
        return "\n".join(f"{body['title']}\n{body['message']}" for body in self.bodies)

    @property
    def titles(self) -> list[str]:
        return [body["title"] for body in self.bodies]


class MailServer:
    """Speaks as much SMTP as a client that logs in and sends needs."""

    def __init__(self) -> None:
        self.port = 0
        self.mails: list[Message] = []
        self.recipients: list[str] = []
        self.logins: list[str] = []
        self.came = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(text: str) -> None:
            writer.write(f"{text}\r\n".encode())
            await writer.drain()

        with contextlib.suppress(ConnectionError):
            await say("220 mail.test ready")
            while line := (await reader.readline()).decode().strip():
                verb = line.upper().split(" ")[0]
                match verb:
                    case "EHLO" | "HELO":
                        await say("250-mail.test\r\n250 AUTH PLAIN")
                    case "AUTH":
                        self.logins.append(line)
                        await say("235 welcome")
                    case "RCPT":
                        self.recipients.append(line)
                        await say("250 yes")
                    case "DATA":
                        await say("354 go on")
                        mail = await reader.readuntil(b"\r\n.\r\n")
                        self.mails.append(message_from_bytes(mail[:-5]))
                        self.came.set()
                        await say("250 kept")
                    case "QUIT":
                        await say("221 bye")
                        break
                    case _:
                        await say("250 yes")
        writer.close()

    @property
    def text(self) -> str:
        """The plain text of the newest mail."""
        for part in self.mails[-1].walk():
            if part.get_content_type() == "text/plain":
                payload = part.get_payload(decode=True)
                assert isinstance(payload, bytes)
                return payload.decode()
        raise AssertionError("no plain text")


@contextlib.asynccontextmanager
async def listening(receiver: Webhook | MailServer) -> AsyncIterator[None]:
    """The receiver on a free port of loopback, or on the one it had before."""
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", receiver.port)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()
