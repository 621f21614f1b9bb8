-- Double entry, strategies, and the audit log's chain. What older rows lack is filled in at the next
-- start by folding the log again: see `tickbus_ledger.backfill`.

ALTER TABLE books ADD COLUMN head bytea;            -- hash of the last row of order_events
ALTER TABLE order_events ADD COLUMN notes text NOT NULL DEFAULT '';
ALTER TABLE order_events ADD COLUMN hash bytea;     -- SHA-256 over the hash before and this row
ALTER TABLE fills ADD COLUMN fee_value numeric;     -- of a fee in a third asset, in quote currency
UPDATE fills SET strategy_id = 'external' WHERE strategy_id = '';
ALTER TABLE positions ADD COLUMN funding numeric NOT NULL DEFAULT 0;
ALTER TABLE positions ADD COLUMN other_fees_value numeric NOT NULL DEFAULT 0;
ALTER TABLE positions ADD COLUMN unvalued_fees text NOT NULL DEFAULT '{}';  -- JSON: asset to amount
ALTER TABLE positions ADD COLUMN contract_size numeric NOT NULL DEFAULT 1;

CREATE TABLE strategy_positions (
    strategy_id text NOT NULL,
    venue text NOT NULL,
    instrument_id text NOT NULL,
    quantity numeric NOT NULL,
    cost numeric NOT NULL,
    realized_pnl numeric NOT NULL,
    fees numeric NOT NULL,
    cash numeric NOT NULL,
    other_fees text NOT NULL,
    fills bigint NOT NULL,
    ts_updated bigint NOT NULL,
    funding numeric NOT NULL,
    other_fees_value numeric NOT NULL,
    unvalued_fees text NOT NULL,
    contract_size numeric NOT NULL,
    PRIMARY KEY (strategy_id, venue, instrument_id)
);

-- One entry per event that moved a balance; its postings sum to zero in every asset.
CREATE TABLE journal (
    sequence bigint PRIMARY KEY,
    cause text NOT NULL,
    reference text NOT NULL,
    venue text NOT NULL,
    instrument_id text NOT NULL,
    strategy_id text NOT NULL,
    client_order_id text NOT NULL,
    ts_event bigint NOT NULL
);
CREATE INDEX journal_by_time ON journal USING brin (ts_event);

CREATE TABLE postings (
    sequence bigint NOT NULL,
    line integer NOT NULL,
    venue text NOT NULL,
    account text NOT NULL,
    asset text NOT NULL,
    amount numeric NOT NULL,
    balance numeric,  -- what the account at the venue holds after it; null on the other accounts
    PRIMARY KEY (sequence, line)
);
CREATE INDEX postings_by_asset ON postings (asset, venue, sequence DESC, line DESC)
    WHERE account = 'balance';

CREATE TABLE strategy_equity (
    strategy_id text NOT NULL,
    ts bigint NOT NULL,
    equity numeric NOT NULL,
    net_pnl numeric NOT NULL,
    drawdown numeric NOT NULL,
    PRIMARY KEY (strategy_id, ts)
);

CREATE INDEX orders_by_time ON orders USING brin (ts_created);
CREATE INDEX fills_by_time ON fills USING brin (ts_event);
CREATE INDEX fills_by_strategy ON fills (strategy_id, sequence DESC);
CREATE INDEX order_events_by_time ON order_events USING brin (ts_recv);

-- What happened is added to, never changed.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP;
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON postings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON fills
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_chained BEFORE UPDATE OR DELETE ON order_events
    FOR EACH ROW WHEN (OLD.hash IS NOT NULL) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE TRUNCATE ON order_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
