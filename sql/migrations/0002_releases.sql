-- Rollback, gradual rollout, restoring, retention, repeated requests.

-- A split of a function's calls over versions. No rows: all calls go to the active version.
CREATE TABLE functions_admin.function_traffic (
  function_id uuid NOT NULL REFERENCES functions_admin.edge_functions (id) ON DELETE CASCADE,
  version     integer NOT NULL,
  percent     integer NOT NULL CHECK (percent BETWEEN 0 AND 100),
  PRIMARY KEY (function_id, version),
  FOREIGN KEY (function_id, version) REFERENCES functions_admin.edge_function_versions
);

-- Which calls stay together: {"by": "header"|"cookie"|"address", "name": "..."}.
ALTER TABLE functions_admin.edge_functions ADD COLUMN sticky jsonb;

-- What a release changed in the split: [{"version", "percent"}], NULL for none.
ALTER TABLE functions_admin.release_items ADD COLUMN traffic_before jsonb, ADD COLUMN traffic_after jsonb;

ALTER TABLE functions_admin.releases DROP CONSTRAINT releases_source_check;
ALTER TABLE functions_admin.releases ADD CONSTRAINT releases_source_check CHECK (source IN
  ('deploy', 'delete', 'rollback', 'restore', 'traffic', 'settings', 'import', 'promote', 'template', 'revert'));

ALTER TABLE functions_admin.edge_function_versions DROP CONSTRAINT edge_function_versions_source_check;
ALTER TABLE functions_admin.edge_function_versions ADD CONSTRAINT edge_function_versions_source_check CHECK (source IN
  ('deploy', 'settings', 'import', 'promote', 'template'));
-- Where a promoted version comes from.
ALTER TABLE functions_admin.edge_function_versions ADD COLUMN source_project text;

CREATE INDEX deployments_project ON functions_admin.edge_function_deployments (created_at DESC, id);
CREATE INDEX functions_deleted_slug ON functions_admin.edge_functions (project_ref, slug, deleted_at DESC)
  WHERE deleted_at IS NOT NULL;

-- Answers to POSTs that carried an Idempotency-Key, for 24 hours. Sealed: an answer may hold a new token.
CREATE TABLE functions_admin.idempotency_keys (
  principal   text NOT NULL,
  key         text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
  request     bytea NOT NULL, -- SHA-256 over method, path, query, content type and body
  status      integer NOT NULL,
  answer      bytea NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_keys_age ON functions_admin.idempotency_keys (created_at);
