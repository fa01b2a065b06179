-- Kept trials of the bench: a request and its answer. A trial goes with its run.
CREATE TABLE trials (
    id INTEGER NOT NULL PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    created FLOAT NOT NULL,
    content JSON NOT NULL
);
CREATE INDEX trials_by_run ON trials (run_id);
