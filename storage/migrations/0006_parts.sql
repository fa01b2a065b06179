-- What a run has found of a slice of the weights whose units aren't ready, so that a kill loses
-- little. They go as soon as the units are there, and with the run.
CREATE TABLE parts (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    slice TEXT NOT NULL,
    step TEXT NOT NULL,
    seconds FLOAT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (run_id, slice, step)
);
