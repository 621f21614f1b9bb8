"""Every call once, for both clients: a group's route is a method that knows which of them asks."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

from tickbus_client.call import Call
from tickbus_client.calls import access, alerts, books, market, operations, orders, risk, strategies

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F")


class Sync:
    """Marks the groups of `Client`: a route returns its answer."""


class Async:
    """Marks the groups of `AsyncClient`: a route returns something to await."""


class Group(Generic[F]):
    """Routes about one subject, performed by `perform`."""

    def __init__(self, perform: Callable[[Call[Any]], Any]) -> None:
        self._perform = perform


class Route(Generic[P, T]):
    """A call as a method: describes it, then has the client of its group perform it."""

    def __init__(self, describe: Callable[P, Call[T]]) -> None:
        self.describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, group: None, owner: type) -> Self: ...
    @overload
    def __get__(self, group: Group[Sync], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, group: Group[Async], owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __get__(self, group: Group[Any] | None, owner: type) -> Any:
        """The method on `group`; the route itself on its class."""
        if group is None:
            return self
        describe, perform = self.describe, group._perform

        @wraps(describe)
        def ask(*args: P.args, **kwargs: P.kwargs) -> Any:
            return perform(describe(*args, **kwargs))

        return ask


class Market(Group[F]):
    """Prices, books, candles, instruments."""

    instruments = Route(market.instruments)
    prices = Route(market.prices)
    depth = Route(market.depth)
    consolidated = Route(market.consolidated)
    candles = Route(market.candles)
    analytics = Route(market.analytics)
    trades = Route(market.trades)
    feeds = Route(market.feeds)
    venues = Route(market.venues)


class Orders(Group[F]):
    """Place, look at, replace and cancel orders; fills."""

    place = Route(orders.place)
    validate = Route(orders.validate)
    listing = Route(orders.listing)
    get = Route(orders.get)
    replace = Route(orders.replace)
    cancel = Route(orders.cancel)
    cancel_all = Route(orders.cancel_all)
    fills = Route(orders.fills)


class Books(Group[F]):
    """Positions, balances, profit and loss, and what they are made of."""

    portfolio = Route(books.portfolio)
    series = Route(books.series)
    session = Route(books.session)
    clear_session = Route(books.clear_session)
    equity = Route(books.equity)
    postings = Route(books.postings)
    audit = Route(books.audit)


class Risk(Group[F]):
    """Limits, trading states and the kill switch."""

    state = Route(risk.state)
    set_state = Route(risk.set_state)
    limits = Route(risk.limits)
    set_limit = Route(risk.set_limit)
    usage = Route(risk.usage)
    denials = Route(risk.denials)
    flatten = Route(risk.flatten)
    confirm_flatten = Route(risk.confirm_flatten)
    kill = Route(risk.kill)


class Strategies(Group[F]):
    """Where strategies are, and starting, stopping, switching, changing them."""

    listing = Route(strategies.listing)
    get = Route(strategies.get)
    decisions = Route(strategies.decisions)
    kinds = Route(strategies.kinds)
    put = Route(strategies.put)
    start = Route(strategies.start)
    stop = Route(strategies.stop)
    flatten = Route(strategies.flatten)
    set_params = Route(strategies.set_params)
    reset = Route(strategies.reset)
    delete = Route(strategies.delete)
    engine = Route(strategies.engine)
    start_all = Route(strategies.start_all)
    stop_all = Route(strategies.stop_all)


class Operations(Group[F]):
    """Health, services, dead letters, reconciliation."""

    health = Route(operations.health)
    platform = Route(operations.platform)
    metrics = Route(operations.metrics)
    status = Route(operations.status)
    logs = Route(operations.logs)
    dead_letters = Route(operations.dead_letters)
    dead_letter = Route(operations.dead_letter)
    reconcile = Route(operations.reconcile)


class Alerts(Group[F]):
    """What people are told of, and through which channels."""

    listing = Route(alerts.listing)
    test = Route(alerts.test)


class Access(Group[F]):
    """Logins, users and API keys."""

    login = Route(access.login)
    refresh = Route(access.refresh)
    logout = Route(access.logout)
    me = Route(access.me)
    change_password = Route(access.change_password)
    rotate_signing_key = Route(access.rotate_signing_key)
    users = Route(access.users)
    user = Route(access.user)
    create_user = Route(access.create_user)
    change_user = Route(access.change_user)
    delete_user = Route(access.delete_user)
    keys = Route(access.keys)
    create_key = Route(access.create_key)
    delete_key = Route(access.delete_key)


GROUPS: tuple[type[Group[Any]], ...] = (
    Access,
    Market, Orders, Books, Risk, Strategies, Operations, Alerts,
)  # fmt: skip
