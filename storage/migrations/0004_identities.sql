-- What identifies the tensors of a file on disk, so that a model's files are read for it once.
-- A host gives each file system a number, so that hosts with one database don't undo each other.
CREATE TABLE identities (
    path TEXT NOT NULL,
    device TEXT NOT NULL,
    stamp TEXT NOT NULL,
    identity TEXT NOT NULL,
    PRIMARY KEY (path, device)
) WITHOUT ROWID;
