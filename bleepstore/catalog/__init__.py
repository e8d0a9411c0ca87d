"""The metadata database: a deterministic state machine, what it needs of a database, and what it can be asked."""
