CREATE TABLE workflows (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL UNIQUE,
  document TEXT NOT NULL,
  modified INTEGER NOT NULL,
  -- Who ran it last, in words; whether somebody does is told by a file lock, which dies with
  -- them.
  holder TEXT
);
CREATE TABLE cycles (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workflow INTEGER NOT NULL REFERENCES workflows ON DELETE CASCADE,
  document TEXT NOT NULL,
  started INTEGER NOT NULL,
  ended INTEGER,
  cancel_requested INTEGER
);
CREATE INDEX cycles_of_workflow ON cycles (workflow, id);
-- What happened in a cycle since its document was written.
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  cycle INTEGER NOT NULL REFERENCES cycles ON DELETE CASCADE,
  document TEXT NOT NULL
);
CREATE INDEX events_of_cycle ON events (cycle, id);
CREATE TABLE runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workflow INTEGER NOT NULL REFERENCES workflows ON DELETE CASCADE,
  cycle INTEGER NOT NULL REFERENCES cycles ON DELETE CASCADE,
  name TEXT NOT NULL,
  task TEXT NOT NULL,
  status TEXT NOT NULL,
  image TEXT,
  created INTEGER NOT NULL,
  started INTEGER,
  ended INTEGER,
  document TEXT NOT NULL
);
CREATE UNIQUE INDEX runs_by_name ON runs (workflow, name);
CREATE INDEX runs_of_cycle ON runs (cycle, id);
-- Every filter of a list of runs, newest first, reads only what it answers.
CREATE INDEX runs_by_task ON runs (workflow, task, id);
CREATE INDEX runs_by_status ON runs (workflow, status, id);
CREATE INDEX runs_by_task_and_status ON runs (workflow, task, status, id);
CREATE INDEX runs_of_workflow ON runs (workflow, id);
CREATE TABLE logs (
  run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  -- Where in the log this piece begins, in bytes.
  start INTEGER NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (run, start)
) WITHOUT ROWID;
CREATE TABLE queue (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workflow INTEGER NOT NULL REFERENCES workflows ON DELETE CASCADE,
  requested INTEGER NOT NULL
);
CREATE INDEX queue_of_workflow ON queue (workflow, id);
