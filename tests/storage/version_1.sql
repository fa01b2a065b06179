-- A database as version 1 of the schema left it, with one finished run. Never change it.
PRAGMA application_id = 1952544115;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
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
INSERT INTO "measurements" VALUES(1,-1,-1,'','write','q',0,'medical','','','',0.75,NULL,NULL,1,0.5,0.01);
CREATE TABLE run_units (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    unit_id INTEGER NOT NULL REFERENCES units (id) ON DELETE CASCADE,
    PRIMARY KEY (run_id, unit_id)
) WITHOUT ROWID;
INSERT INTO "run_units" VALUES('0123456789ab',1);
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
INSERT INTO "runs" VALUES('0123456789ab','old','{"name": "old", "models": {"base": {"path": "b", "revision": null, "parent": null, "role": "tuned"}, "tuned": {"medical": {"path": "m", "revision": null, "parent": null, "role": "tuned"}, "control": {"path": "c", "revision": null, "parent": null, "role": "control"}}, "tokenizer": null, "trust_remote_code": false}, "probe": null, "evaluation": null, "analyses": {}, "run": {"device": "auto", "dtype": "auto", "max_memory": null, "offload_folder": null, "batch_size": "auto", "attention": "auto", "seed": 0}}','724a6035aaa3baeab5ba24b50045e3837d65fcfe02704f620bdb2f6b608af581','["alignment"]','done',0,1700000000.0,1700000001.0,1700000060.5,1700000060.0,'elder',4242,1,1,0,'',0,'','','{"seed": 0}');
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
INSERT INTO "units" VALUES(1,'k1','alignment','alignment of medical, layer 0','medical','',0,1.5,'{"sums": {}}',1700000060.0);
CREATE TABLE warnings (
    id INTEGER NOT NULL PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    subject TEXT NOT NULL,
    message TEXT NOT NULL,
    created FLOAT NOT NULL,
    UNIQUE (run_id, subject, message)
);
INSERT INTO "warnings" VALUES(1,'0123456789ab','medical','is a twin of control.',1700000002.0);
CREATE INDEX runs_by_study_key ON runs (study_key);
CREATE INDEX artifacts_by_unit ON artifacts (unit_id);
COMMIT;
