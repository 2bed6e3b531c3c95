"""The tables of a search's store."""

from __future__ import annotations

SCHEMA_VERSION = 4

# The column ``rung`` is of searches of version 0.2; today's are at rung 0.

SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE evaluations (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, genome TEXT NOT NULL,
    generation INTEGER NOT NULL,
    params INTEGER NOT NULL, mult_adds INTEGER NOT NULL,
    mse REAL, psnr REAL, seconds REAL, failure TEXT,
    operators TEXT NOT NULL, parents TEXT NOT NULL, log_prob REAL,
    told INTEGER NOT NULL DEFAULT 0, rung INTEGER NOT NULL DEFAULT 0, steps INTEGER,
    latency REAL, latency_spread REAL
);
CREATE INDEX untold ON evaluations (told) WHERE told = 0;
CREATE TABLE failures (
    id INTEGER PRIMARY KEY, number INTEGER NOT NULL, key TEXT NOT NULL,
    kind TEXT NOT NULL, message TEXT NOT NULL, traceback TEXT NOT NULL, place TEXT NOT NULL,
    fate TEXT NOT NULL
)
"""

TABLES = ("about", "evaluations", "failures")

COLUMNS = (
    "number, key, genome, generation, params, mult_adds, failure, operators, parents, log_prob"
)
"""Columns of an evaluation, in the order of rows; those of its score follow."""

SCORE_COLUMNS = "mse, psnr, seconds, steps, latency, latency_spread"
"""Columns of a score."""
