-- The order in which runs were made and begun, whatever the clock did meanwhile: one counter for
-- both, whose numbers a VACUUM leaves alone, as it need not leave rowids.
ALTER TABLE runs ADD COLUMN made INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;

UPDATE runs SET made = rowid;
UPDATE runs SET begun = ranked.place FROM (
    SELECT id, row_number() OVER (
        ORDER BY coalesce(started, heartbeat, created), rowid
    ) AS place FROM runs
) AS ranked WHERE ranked.id = runs.id;

-- Seconds by a clock that nobody sets: since the host booted, at the last heartbeat; and that the
-- attempt had taken by then.
ALTER TABLE runs ADD COLUMN ticked FLOAT;
ALTER TABLE runs ADD COLUMN took FLOAT;
