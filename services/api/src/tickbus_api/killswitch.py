"""The kill switch, which is a process of its own, as the gateway reaches it."""

import json
from typing import Any

import httpx
import msgspec

from tickbus.config import Settings
from tickbus.kill_api import PATH, TOKEN, KillRequest
from tickbus_api.problems import unavailable

URL = "TICKBUS_KILL_URL"
URL_DEFAULT = "http://127.0.0.1:9109"
TIMEOUT_S = 120.0
"""Longer than the kill switch takes at most with its usual configuration."""
DIRECTLY = "run `tickbus kill` where the keys are, and look at the venue"


class KillSwitch:
    """The kill switch as the gateway reaches it."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token

    @classmethod
    def of(cls, settings: Settings) -> "KillSwitch":
        """Where the environment says that it is, with the token from there."""
        return cls(settings.environment.get(URL) or URL_DEFAULT, settings.secret(TOKEN))

    async def kill(self, request: KillRequest) -> dict[str, Any]:
        """Its report. Raises Problem when it cannot be had."""
        headers = {"Authorization": f"Bearer {self._token}"}
        content = msgspec.json.encode(request)
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
                answer = await client.post(f"{self._url}{PATH}", content=content, headers=headers)
            report = json.loads(answer.content)
        except (httpx.HTTPError, ValueError) as error:
            detail = str(error) or type(error).__name__
            raise unavailable(
                "KILL_SWITCH_UNAVAILABLE",
                f"the kill switch at {self._url} does not answer: {detail}",
                f"whether it acted is not known: {DIRECTLY}",
            ) from error
        if not isinstance(report, dict) or "exit_code" not in report:
            raise unavailable(
                "KILL_SWITCH_REFUSED",
                f"the kill switch did nothing: {answer.status_code} {answer.text[:200]}",
                f"give the gateway and the kill switch the same TICKBUS_KILL_TOKEN; now {DIRECTLY}",
            )
        return report
