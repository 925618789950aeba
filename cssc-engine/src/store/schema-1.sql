CREATE TABLE workflows (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL UNIQUE,
  owner TEXT NOT NULL,
  looked_after INTEGER NOT NULL,
  -- Who ran it last, in words; whether somebody does is told by a file lock, which dies with
  -- them.
  holder TEXT
);
CREATE TABLE cycles (
  -- Counts through all workflows, so that the name of a run says which cycle it is of.
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workflow INTEGER NOT NULL REFERENCES workflows ON DELETE CASCADE,
  document TEXT NOT NULL,
  has_ended INTEGER NOT NULL,
  cancel_requested INTEGER
);
CREATE INDEX cycles_of_workflow ON cycles (workflow, id);
CREATE TABLE runs (
  cycle INTEGER NOT NULL REFERENCES cycles ON DELETE CASCADE,
  number INTEGER NOT NULL,
  workflow INTEGER NOT NULL,
  task TEXT NOT NULL,
  status TEXT NOT NULL,
  created INTEGER NOT NULL,
  document TEXT NOT NULL,
  PRIMARY KEY (cycle, number)
) WITHOUT ROWID;
-- Every filter of a list of runs, newest first, reads only what it answers.
CREATE INDEX runs_of_workflow ON runs (workflow, created, cycle, number);
CREATE INDEX runs_by_task ON runs (workflow, task, created, cycle, number);
CREATE INDEX runs_by_status ON runs (workflow, status, created, cycle, number);
CREATE INDEX runs_by_both ON runs (workflow, task, status, created, cycle, number);
CREATE TABLE logs (
  cycle INTEGER NOT NULL,
  number INTEGER NOT NULL,
  -- Where in the log this piece begins, in bytes.
  start INTEGER NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (cycle, number, start),
  FOREIGN KEY (cycle, number) REFERENCES runs ON DELETE CASCADE
) WITHOUT ROWID;
-- What each image was last patched from; stays when the run is forgotten.
CREATE TABLE patched (
  workflow INTEGER NOT NULL REFERENCES workflows ON DELETE CASCADE,
  repository TEXT NOT NULL,
  tag TEXT NOT NULL,
  published TEXT NOT NULL,
  digest TEXT NOT NULL,
  PRIMARY KEY (workflow, repository, tag)
) WITHOUT ROWID;
CREATE TABLE queue (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workflow INTEGER NOT NULL REFERENCES workflows ON DELETE CASCADE,
  requested INTEGER NOT NULL
);
CREATE INDEX queue_of_workflow ON queue (workflow, id);
