"""The feed: a venue's wire protocol becomes clean, normalised, sequenced market events."""
