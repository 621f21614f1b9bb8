-- What a curve is made of (null in older points), the sessions that people begin, and the ways in
-- which lists are paged.
ALTER TABLE equity ADD COLUMN realized_pnl numeric;
ALTER TABLE equity ADD COLUMN unrealized_pnl numeric;
ALTER TABLE equity ADD COLUMN fees numeric;
ALTER TABLE equity ADD COLUMN funding numeric;
ALTER TABLE strategy_equity ADD COLUMN realized_pnl numeric;
ALTER TABLE strategy_equity ADD COLUMN unrealized_pnl numeric;
ALTER TABLE strategy_equity ADD COLUMN fees numeric;
ALTER TABLE strategy_equity ADD COLUMN funding numeric;

CREATE TABLE sessions (
    sequence bigint PRIMARY KEY,
    ts_started bigint NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON sessions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE INDEX orders_by_strategy ON orders (strategy_id, sequence DESC);
CREATE INDEX fills_by_instrument ON fills (instrument_id, sequence DESC);
CREATE INDEX order_events_by_kind ON order_events (kind, sequence DESC);
CREATE INDEX order_events_denied ON order_events (sequence DESC)
    WHERE kind IN ('OrderDenied', 'CancelDenied');
