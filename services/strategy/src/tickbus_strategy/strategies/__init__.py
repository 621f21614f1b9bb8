"""The strategies that come with tickbus, one module each."""
