"""What people and their programs did through the gateway, on record for ever."""

from tickbus.events.base import Event


class UserActed(Event, frozen=True):
    """Somebody did something through the gateway, or tried to; all but reading is put on record.

    So is an API key that was refused, whatever it was shown for: `via` is `key` then, `key_id` ""
    for one that never was, and `action` says no more of the path than which area it is of.

    `act_id` is the id of the request (`X-Request-Id`). `user` is "" where nobody is known: a login
    with a name that no user has. `via`: `local`, `session`, `key`, `bus`, or "" for nobody; with
    `bus` it was done past the gateway, by the user `user` of the machine `address`. `key_id` is
    that of the API key. `address` is the peer's. `action` is the method and the route, `POST
    /api/v1/orders`, and `target` the path that was asked for. `status` is the answer's, and `code`
    that of its problem, "" where it was done. No body and no secret is ever part of it.
    """

    act_id: str
    user: str
    via: str
    key_id: str
    address: str
    action: str
    target: str
    status: int
    code: str = ""


AccessEvent = UserActed
