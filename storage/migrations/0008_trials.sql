-- What a user kept from the bench: a prompt, the settings and what they gave. It goes with its run.
CREATE TABLE trials (
    id INTEGER NOT NULL PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    created FLOAT NOT NULL,
    content JSON NOT NULL
);
CREATE INDEX trials_by_run ON trials (run_id);
