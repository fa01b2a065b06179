-- Warnings that arose while a unit was computed. They go with the unit. Earlier versions kept those
-- of reduced units in the unit's state.
CREATE TABLE unit_warnings (
    id INTEGER NOT NULL PRIMARY KEY,
    unit_id INTEGER NOT NULL REFERENCES units (id) ON DELETE CASCADE,
    subject TEXT NOT NULL,
    message TEXT NOT NULL,
    UNIQUE (unit_id, subject, message)
);
INSERT OR IGNORE INTO unit_warnings (unit_id, subject, message)
SELECT units.id, CASE units.model WHEN '' THEN units.analysis ELSE units.model END, said.value
FROM units, json_each(CASE WHEN json_valid(units.state) THEN units.state END, '$.warnings') AS said
WHERE said.type = 'text';
