-- A worker that was taken for dead, and whose run another has taken over, must be able to tell:
-- each worker writes only under the number of its own attempt.
ALTER TABLE runs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;

-- Which runs refer to a unit, also asked by the cascade when a unit goes.
CREATE INDEX run_units_by_unit ON run_units (unit_id);
