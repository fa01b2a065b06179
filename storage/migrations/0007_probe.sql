-- The name of the probe set becomes a coordinate. It is part of the key, which SQLite can only
-- change by a new table. Rows of earlier versions have no name: they had one probe set at most.
CREATE TABLE measurements_by_probe (
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
    probe TEXT NOT NULL,
    value FLOAT,
    low FLOAT,
    high FLOAT,
    n INTEGER,
    chance FLOAT,
    chance_sd FLOAT,
    PRIMARY KEY (
        unit_id, head, expert, setting, metric, module, layer, model, reference, task, metric_of,
        probe
    )
) WITHOUT ROWID;

INSERT INTO measurements_by_probe
SELECT
    unit_id, head, expert, setting, metric, module, layer, model, reference, task, metric_of, '',
    value, low, high, n, chance, chance_sd
FROM measurements;

DROP TABLE measurements;

ALTER TABLE measurements_by_probe RENAME TO measurements;

-- Parts hold rows by the place of their columns, which has changed. They are computed again.
DELETE FROM parts;
