"""Binance's error codes, messages and HTTP statuses."""

from tickbus_exchange.engine.orders import FILTER_REFUSALS, Refusal


class ApiError(Exception):
    """A refused request: the HTTP `status`, Binance's `code` and its message."""

    def __init__(
        self, code: int, message: str, status: int = 400, *, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.retry_after_s = retry_after_s
        self.data: dict[str, object] | None = None


def unknown() -> ApiError:
    """The request may have been carried out, or not."""
    return ApiError(
        -1007,
        "Timeout waiting for response from backend server. Send status unknown; execution status"
        " unknown.",
        504,
    )


def missing(name: str) -> ApiError:
    """A mandatory parameter is absent."""
    return ApiError(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def empty(name: str) -> ApiError:
    """A parameter was sent without a value."""
    return ApiError(-1105, f"Parameter '{name}' was empty.")


def illegal(name: str, legal: str) -> ApiError:
    """A parameter holds characters it may not."""
    return ApiError(
        -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."
    )


def unread(read: int, sent: int) -> ApiError:
    """A parameter was sent that the endpoint does not know."""
    return ApiError(
        -1104,
        f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'.",
    )


def not_required(name: str) -> ApiError:
    """A parameter contradicts the others."""
    return ApiError(-1106, f"Parameter '{name}' sent when not required.")


def too_precise(name: str) -> ApiError:
    """A number has more than eight decimals."""
    return ApiError(-1111, f"Parameter '{name}' has too much precision.")


def invalid(name: str) -> ApiError:
    """A value is none of the known ones."""
    return ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")


def bad_symbol() -> ApiError:
    """There is no such symbol."""
    return ApiError(-1121, "Invalid symbol.")


def no_such_order() -> ApiError:
    """There is no such order."""
    return ApiError(-2013, "Order does not exist.")


def client_id_mismatch() -> ApiError:
    """Both ids were sent and they name different orders."""
    return ApiError(-2039, "Client order ID is not correct for this order ID.")


def bad_key_format() -> ApiError:
    """The API key is absent or not a key at all."""
    return ApiError(-2014, "API-key format invalid.", 401)


def unknown_key() -> ApiError:
    """The API key is not known here."""
    return ApiError(-2015, "Invalid API-key, IP, or permissions for action.", 401)


def bad_signature() -> ApiError:
    """The signature does not match the request."""
    return ApiError(-1022, "Signature for this request is not valid.")


_REFUSALS = {
    Refusal.INSUFFICIENT_BALANCE: (-2010, "Account has insufficient balance for requested action."),
    Refusal.WOULD_TAKE: (-2010, "Order would immediately match and take."),
    Refusal.DUPLICATE: (-2010, "Duplicate order sent."),
    Refusal.NO_LIQUIDITY: (-2010, "Order book liquidity is less than symbol minimum quantity."),
    Refusal.WOULD_TRIGGER: (-2010, "Stop price would trigger immediately."),
    Refusal.UNKNOWN_ORDER: (-2011, "Unknown order sent."),
    Refusal.AMEND_INCREASE: (-2038, "Order amend (quantity increase) is not supported."),
    Refusal.AMEND_NOTHING: (-2038, "The requested action would change no state; rejecting"),
    Refusal.AMEND_BELOW_FILLED: (-2038, "Amended quantity must exceed the executed quantity."),
}


def refused(refusal: Refusal) -> ApiError:
    """The engine said no."""
    if refusal in FILTER_REFUSALS:
        return ApiError(-1013, f"Filter failure: {refusal}")
    code, message = _REFUSALS[refusal]
    return ApiError(code, message)


_ON_DEMAND = {
    -1000: (500, "An unknown error occurred while processing the request."),
    -1001: (500, "Internal error; unable to process your request. Please try again."),
    -1003: (429, "Too many requests queued."),
    -1006: (
        500,
        "An unexpected response was received from the message bus. Execution status unknown.",
    ),
    -1008: (
        503,
        "Server is currently overloaded with other requests. Please try again in a few minutes.",
    ),
    -1015: (429, "Too many new orders."),
    -1021: (400, "Timestamp for this request is outside of the recvWindow."),
}


def by_code(code: int) -> ApiError:
    """One of the refusals that have nothing to do with what was asked."""
    if code == -1007:
        return unknown()
    status, message = _ON_DEMAND[code]
    return ApiError(code, message, status, retry_after_s=1 if status == 429 else None)
