-- 'taus': tells our files from other programs' SQLite files.
PRAGMA application_id = 1952544115;

CREATE TABLE runs (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    study JSON NOT NULL,
    study_key TEXT NOT NULL,
    analyses JSON NOT NULL,
    status TEXT NOT NULL,
    fresh BOOLEAN NOT NULL,
    created FLOAT NOT NULL,
    started FLOAT,
    finished FLOAT,
    heartbeat FLOAT,
    host TEXT NOT NULL DEFAULT '',
    pid INTEGER,
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    reused INTEGER NOT NULL DEFAULT 0,
    label TEXT NOT NULL DEFAULT '',
    cancel_requested BOOLEAN NOT NULL DEFAULT 0,
    error_title TEXT NOT NULL DEFAULT '',
    error_hint TEXT NOT NULL DEFAULT '',
    provenance JSON NOT NULL DEFAULT '{}'
);

CREATE INDEX runs_by_study_key ON runs (study_key);

CREATE TABLE units (
    id INTEGER NOT NULL PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    analysis TEXT NOT NULL,
    label TEXT NOT NULL,
    model TEXT NOT NULL,
    reference TEXT NOT NULL,
    layer INTEGER,
    seconds FLOAT NOT NULL,
    state JSON NOT NULL,
    created FLOAT NOT NULL
);

CREATE TABLE run_units (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    unit_id INTEGER NOT NULL REFERENCES units (id) ON DELETE CASCADE,
    PRIMARY KEY (run_id, unit_id)
) WITHOUT ROWID;

-- One tree holds the rows and keeps them unique. Its order is that of the questions: the rows
-- of a figure lie together, apart from those of single heads, experts and settings.
-- -1 stands for "over all" in layer, expert and head, since NULLs never count as equal.
CREATE TABLE measurements (
    unit_id INTEGER NOT NULL REFERENCES units (id) ON DELETE CASCADE,
    head INTEGER NOT NULL,
    expert INTEGER NOT NULL,
    setting TEXT NOT NULL,
    metric TEXT NOT NULL,
    module TEXT NOT NULL,
    layer INTEGER NOT NULL,
    model TEXT NOT NULL,
    reference TEXT NOT NULL,
    task TEXT NOT NULL,
    metric_of TEXT NOT NULL,
    value FLOAT,
    low FLOAT,
    high FLOAT,
    n INTEGER,
    chance FLOAT,
    chance_sd FLOAT,
    PRIMARY KEY (
        unit_id, head, expert, setting, metric, module, layer, model, reference, task, metric_of
    )
) WITHOUT ROWID;

CREATE TABLE artifacts (
    id INTEGER NOT NULL PRIMARY KEY,
    unit_id INTEGER NOT NULL REFERENCES units (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    model TEXT NOT NULL,
    reference TEXT NOT NULL,
    layer INTEGER,
    task TEXT NOT NULL,
    path TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL
);

CREATE INDEX artifacts_by_unit ON artifacts (unit_id);

CREATE TABLE warnings (
    id INTEGER NOT NULL PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    subject TEXT NOT NULL,
    message TEXT NOT NULL,
    created FLOAT NOT NULL,
    UNIQUE (run_id, subject, message)
);
