"""The route that says what this installation is: real money or not, where, which version."""

from fastapi import APIRouter
from pydantic import Field

from tickbus import __version__
from tickbus_api.access import READ
from tickbus_api.reading import Operations
from tickbus_api.views import View

router = APIRouter(prefix="/api/v1", tags=["operations"])


class InstallationView(View):
    """What the gateway is part of."""

    name: str
    mode: str = Field(description="simulated, paper, testnet, live or dry_run")
    venues: list[str] = Field(description="the main one first")
    version: str


@router.get("/platform", dependencies=READ)
async def platform(gateway: Operations) -> InstallationView:
    """Whether real money is at stake, at which venues, and which version runs."""
    configured = gateway.configured
    return InstallationView(
        name=configured.name,
        mode=configured.mode,
        venues=list(gateway.venues),
        version=__version__,
    )
