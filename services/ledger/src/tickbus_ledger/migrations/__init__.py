"""Numbered SQL files, applied in order by `tickbus_ledger.migrate`."""
