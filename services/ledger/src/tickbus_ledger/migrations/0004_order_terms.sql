-- What an order waits for, how long, which order it replaces, and which one it is a part of.
ALTER TABLE orders ADD COLUMN trigger_price numeric;
ALTER TABLE orders ADD COLUMN expires_ns bigint NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN replaces text NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN parent_id text NOT NULL DEFAULT '';
CREATE INDEX orders_by_parent ON orders (parent_id) WHERE parent_id <> '';
