-- Secrets of projects and of functions, sealed, with their history; docs/secrets.md says what they are for.

-- Each change of any secret of the project adds 1: the number of the set that functions get.
ALTER TABLE functions_admin.projects ADD COLUMN secrets_revision bigint NOT NULL DEFAULT 0;

CREATE TABLE functions_admin.secret_revisions (
  project_ref  text NOT NULL REFERENCES functions_admin.projects (ref),
  revision     bigint NOT NULL CHECK (revision > 0),
  source       text NOT NULL CHECK (source IN ('set', 'unset', 'rollback')),
  restored     bigint, -- of a rollback: the revision whose set is in force again
  changed      integer NOT NULL,
  created_by   text NOT NULL,
  request_id   text NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (project_ref, revision)
);

-- A row is one value from one revision up to (and without) another; the set of revision N is the rows with
-- created_revision <= N and (removed_revision IS NULL or > N). A change thus stores what it changes and no more.
CREATE TABLE functions_admin.secrets (
  id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  project_ref      text NOT NULL REFERENCES functions_admin.projects (ref),
  function_id      uuid REFERENCES functions_admin.edge_functions (id) ON DELETE CASCADE, -- NULL: the project's
  name             text COLLATE "C" NOT NULL CHECK (length(name) BETWEEN 1 AND 256),
  sealed           bytea NOT NULL, -- src/core/crypto.h has the form
  key_id           bytea NOT NULL CHECK (length(key_id) = 4), -- the key that sealed it
  created_revision bigint NOT NULL,
  removed_revision bigint CHECK (removed_revision > created_revision),
  updated_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX secrets_current ON functions_admin.secrets
  (project_ref, coalesce(function_id, '00000000-0000-0000-0000-000000000000'), name) WHERE removed_revision IS NULL;
CREATE INDEX secrets_history ON functions_admin.secrets (project_ref, removed_revision) WHERE removed_revision IS NOT NULL;
CREATE INDEX secrets_function ON functions_admin.secrets (function_id) WHERE function_id IS NOT NULL;

-- Which versions are pinned to a revision: few or none, found without looking at all the others.
CREATE INDEX versions_pinned ON functions_admin.edge_function_versions (function_id, version)
  WHERE settings ? 'secrets_revision';
