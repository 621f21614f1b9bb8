-- When the opening of a balance was read: what was traded up to then is in it already.
ALTER TABLE balances ADD COLUMN ts_opened bigint NOT NULL DEFAULT 0;
UPDATE balances SET ts_opened = ts_reported WHERE opened;
ALTER TABLE balances DROP COLUMN opened;
