CREATE TABLE workflows (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL UNIQUE,
  checkpoint INTEGER NOT NULL,
  -- Who ran it last, in words; whether somebody does is told by a file lock, which dies with
  -- them.
  holder TEXT
);
CREATE TABLE cycles (
  -- Counts in the order they were begun, whatever the clock says.
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  workflow INTEGER NOT NULL REFERENCES workflows ON DELETE CASCADE,
  document TEXT NOT NULL,
  -- The images of the cycle; none until the plan is made.
  plan TEXT,
  -- What came of it; none until it has ended.
  report TEXT,
  has_ended INTEGER NOT NULL,
  cancel_requested INTEGER
);
CREATE INDEX cycles_of_workflow ON cycles (workflow, id);
CREATE TABLE runs (
  cycle INTEGER NOT NULL REFERENCES cycles ON DELETE CASCADE,
  name TEXT NOT NULL,
  -- By image, then by task.
  position INTEGER NOT NULL,
  workflow INTEGER NOT NULL,
  task TEXT NOT NULL,
  status TEXT NOT NULL,
  created INTEGER NOT NULL,
  document TEXT NOT NULL,
  PRIMARY KEY (cycle, name)
) WITHOUT ROWID;
CREATE UNIQUE INDEX runs_by_name ON runs (name);
-- Every filter of a list of runs, newest first, reads only what it answers.
CREATE INDEX runs_of_workflow ON runs (workflow, created, cycle, position);
CREATE INDEX runs_by_task ON runs (workflow, task, created, cycle, position);
CREATE INDEX runs_by_status ON runs (workflow, status, created, cycle, position);
CREATE INDEX runs_by_both ON runs (workflow, task, status, created, cycle, position);
CREATE TABLE logs (
  cycle INTEGER NOT NULL,
  run TEXT NOT NULL,
  -- Where in the log this piece begins, in bytes.
  start INTEGER NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (cycle, run, start),
  FOREIGN KEY (cycle, run) REFERENCES runs ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE queue (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workflow INTEGER NOT NULL REFERENCES workflows ON DELETE CASCADE,
  requested INTEGER NOT NULL
);
CREATE INDEX queue_of_workflow ON queue (workflow, id);
