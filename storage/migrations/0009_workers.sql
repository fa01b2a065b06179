-- The processes that compute units of a run, each as its driver last heard of it, and the units that
-- a run has given up. A worker's state goes with the attempt, a failure when its unit is saved.
CREATE TABLE workers (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    device TEXT NOT NULL,
    model TEXT NOT NULL,
    label TEXT NOT NULL,
    memory INTEGER NOT NULL,
    done INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    since FLOAT NOT NULL,
    PRIMARY KEY (run_id, name)
);
CREATE TABLE failures (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    "key" TEXT NOT NULL,
    analysis TEXT NOT NULL,
    label TEXT NOT NULL,
    cause TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (run_id, "key")
);
