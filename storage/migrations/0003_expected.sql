-- When a run will be done, as its worker sees it: units are too uneven for any reader to tell by
-- their count. It is rough while no unit of some analysis that is left has been timed.
ALTER TABLE runs ADD COLUMN expected FLOAT;
ALTER TABLE runs ADD COLUMN rough BOOLEAN NOT NULL DEFAULT 0;
