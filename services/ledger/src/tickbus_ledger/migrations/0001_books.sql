-- The books. Times are integer nanoseconds UTC; money and quantities are exact.

CREATE TABLE books (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    mode text NOT NULL,
    venue text NOT NULL,
    position bigint NOT NULL  -- of the last event in these books, in the ORDERS stream
);

CREATE TABLE orders (
    client_order_id text PRIMARY KEY,
    sequence bigint NOT NULL,  -- of the event that created it
    strategy_id text NOT NULL,
    venue text NOT NULL,
    instrument_id text NOT NULL,
    side text NOT NULL,
    order_type text NOT NULL,
    quantity numeric NOT NULL,
    price numeric,
    time_in_force text NOT NULL,
    post_only boolean NOT NULL,
    reduce_only boolean NOT NULL,
    state text NOT NULL,
    venue_order_id text NOT NULL,
    filled_quantity numeric NOT NULL,
    filled_notional numeric NOT NULL,
    reported_quantity numeric NOT NULL,
    fees text NOT NULL,  -- JSON: asset to amount
    reason text NOT NULL,
    detail text NOT NULL,
    ts_created bigint NOT NULL,
    ts_updated bigint NOT NULL
);
CREATE INDEX orders_by_age ON orders (sequence DESC);
CREATE INDEX orders_by_state ON orders (state, sequence DESC);
CREATE INDEX orders_by_venue_order_id ON orders (venue_order_id) WHERE venue_order_id <> '';

CREATE TABLE order_events (
    sequence bigint PRIMARY KEY,
    client_order_id text NOT NULL,
    kind text NOT NULL,
    ts_event bigint NOT NULL,
    ts_recv bigint NOT NULL,
    body text NOT NULL,  -- JSON: the event's fields
    hops text NOT NULL   -- JSON: [service, received, sent], oldest first
);
CREATE INDEX order_events_by_order ON order_events (client_order_id, sequence);

CREATE TABLE fills (
    venue text NOT NULL,
    instrument_id text NOT NULL,
    fill_id text NOT NULL,
    sequence bigint NOT NULL,
    client_order_id text NOT NULL,
    venue_order_id text NOT NULL,
    strategy_id text NOT NULL,
    side text NOT NULL,
    price numeric NOT NULL,
    quantity numeric NOT NULL,
    fee numeric NOT NULL,
    fee_asset text NOT NULL,
    liquidity_side text NOT NULL,
    ts_event bigint NOT NULL,
    PRIMARY KEY (venue, instrument_id, fill_id)
);
CREATE INDEX fills_by_age ON fills (sequence DESC);
CREATE INDEX fills_by_order ON fills (client_order_id);

CREATE TABLE positions (
    venue text NOT NULL,
    instrument_id text NOT NULL,
    quantity numeric NOT NULL,
    cost numeric NOT NULL,
    realized_pnl numeric NOT NULL,
    fees numeric NOT NULL,
    cash numeric NOT NULL,
    other_fees text NOT NULL,  -- JSON: asset to amount
    fills bigint NOT NULL,
    ts_updated bigint NOT NULL,
    PRIMARY KEY (venue, instrument_id)
);

CREATE TABLE balances (
    venue text NOT NULL,
    asset text NOT NULL,
    opening numeric NOT NULL,
    amount numeric NOT NULL,  -- opening + fills: never overwritten by what the venue reports
    opened boolean NOT NULL,
    reported numeric,
    ts_reported bigint NOT NULL,
    ts_touched bigint NOT NULL,
    PRIMARY KEY (venue, asset)
);

CREATE TABLE equity (
    ts bigint PRIMARY KEY,
    equity numeric NOT NULL,
    net_pnl numeric NOT NULL,
    drawdown numeric NOT NULL
);
