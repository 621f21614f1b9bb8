"""Turn a venue's wire protocol into clean, normalised, sequenced market events."""
