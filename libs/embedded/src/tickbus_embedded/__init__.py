"""NATS and Postgres servers that run as child processes and need no installation."""
