"""Who may do what through the gateway: users, roles, API keys, logins, and the record of it all."""

from tickbus_api.access.access import Access
from tickbus_api.access.middleware import AccessMiddleware, deny
from tickbus_api.access.needs import (
    ADMIN,
    ASK,
    READ,
    STOP,
    STOP_STRATEGIES,
    STRATEGIES,
    TRADE,
    access_of,
    declarations,
    logged_in,
    needs,
    open_to_all,
    principal_of,
    require,
    require_declared,
)
from tickbus_api.access.principal import Principal, Role, Scope, Via

__all__ = [
    "ADMIN",
    "ASK",
    "READ",
    "STOP",
    "STOP_STRATEGIES",
    "STRATEGIES",
    "TRADE",
    "Access",
    "AccessMiddleware",
    "Principal",
    "Role",
    "Scope",
    "Via",
    "access_of",
    "declarations",
    "deny",
    "logged_in",
    "needs",
    "open_to_all",
    "principal_of",
    "require",
    "require_declared",
]
