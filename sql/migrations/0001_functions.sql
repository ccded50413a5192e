-- Projects, functions, their immutable versions, blobs, deployments, releases, access tokens, the audit log.
-- The migrator has created the schema and set search_path to it; every name below is qualified all the same.

CREATE TABLE functions_admin.projects (
  ref         text PRIMARY KEY CHECK (ref ~ '^[a-z]{20}$'),
  id          uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
  name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 256),
  is_default  boolean NOT NULL DEFAULT false,
  -- What is active, as one number: every activation adds 1. Disk, manifest and answers carry it.
  generation  bigint NOT NULL DEFAULT 0,
  -- Everything that an API answer can show, as one number: a cached answer is good while it stands still.
  revision    bigint NOT NULL DEFAULT 0,
  release_number bigint NOT NULL DEFAULT 0,
  settings    jsonb NOT NULL DEFAULT '{}',
  created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX projects_default ON functions_admin.projects (is_default) WHERE is_default;

CREATE TABLE functions_admin.edge_functions (
  id             uuid PRIMARY KEY,
  project_ref    text NOT NULL REFERENCES functions_admin.projects (ref),
  slug           text NOT NULL CHECK (slug ~ '^[A-Za-z][A-Za-z0-9_-]{0,127}$'),
  name           text NOT NULL CHECK (length(name) BETWEEN 1 AND 256),
  status         text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'REMOVED', 'THROTTLED')),
  -- NULL until a first version was activated (bundleOnly) and after a removal.
  active_version integer,
  latest_version integer NOT NULL DEFAULT 0,
  created_at     timestamptz NOT NULL DEFAULT now(),
  updated_at     timestamptz NOT NULL DEFAULT now(),
  deleted_at     timestamptz
);
CREATE UNIQUE INDEX edge_functions_slug ON functions_admin.edge_functions (project_ref, slug) WHERE deleted_at IS NULL;
CREATE INDEX edge_functions_deleted ON functions_admin.edge_functions (project_ref, deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE functions_admin.blobs (
  sha256     bytea PRIMARY KEY CHECK (length(sha256) = 32),
  size       bigint NOT NULL CHECK (size >= 0),
  created_at timestamptz NOT NULL DEFAULT now()
);

-- In pieces, so that neither the program nor the server ever holds a whole large file (docs/decisions/0002).
CREATE TABLE functions_admin.blob_chunks (
  sha256 bytea NOT NULL REFERENCES functions_admin.blobs (sha256) ON DELETE CASCADE,
  seq    integer NOT NULL CHECK (seq >= 0),
  data   bytea NOT NULL,
  PRIMARY KEY (sha256, seq)
);

CREATE TABLE functions_admin.edge_function_versions (
  function_id     uuid NOT NULL REFERENCES functions_admin.edge_functions (id) ON DELETE CASCADE,
  version         integer NOT NULL CHECK (version > 0),
  kind            text NOT NULL CHECK (kind IN ('source', 'eszip')),
  name            text NOT NULL,
  entrypoint_path text NOT NULL,
  import_map_path text,
  static_patterns text[] NOT NULL DEFAULT '{}',
  verify_jwt      boolean NOT NULL,
  settings        jsonb NOT NULL DEFAULT '{}',
  -- Over everything that makes the version behave; equal digests behave alike.
  digest          bytea NOT NULL CHECK (length(digest) = 32),
  size            bigint NOT NULL,
  file_count      integer NOT NULL,
  ezbr_sha256     text,
  message         text,
  source          text NOT NULL CHECK (source IN ('deploy', 'rollback', 'import', 'promote', 'template')),
  source_version  integer,
  created_by      text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (function_id, version)
);

CREATE TABLE functions_admin.edge_function_files (
  function_id uuid NOT NULL,
  version     integer NOT NULL,
  -- COLLATE "C": the byte order that digests are made in.
  path        text COLLATE "C" NOT NULL,
  sha256      bytea NOT NULL REFERENCES functions_admin.blobs (sha256),
  size        bigint NOT NULL,
  PRIMARY KEY (function_id, version, path),
  FOREIGN KEY (function_id, version) REFERENCES functions_admin.edge_function_versions ON DELETE CASCADE
);
CREATE INDEX edge_function_files_blob ON functions_admin.edge_function_files (sha256);

-- A version never changes once it is written; whoever tries is told so.
CREATE FUNCTION functions_admin.refuse_update() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% rows are immutable', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE TRIGGER versions_immutable BEFORE UPDATE ON functions_admin.edge_function_versions
  FOR EACH ROW EXECUTE FUNCTION functions_admin.refuse_update();
CREATE TRIGGER files_immutable BEFORE UPDATE ON functions_admin.edge_function_files
  FOR EACH ROW EXECUTE FUNCTION functions_admin.refuse_update();
CREATE TRIGGER chunks_immutable BEFORE UPDATE ON functions_admin.blob_chunks
  FOR EACH ROW EXECUTE FUNCTION functions_admin.refuse_update();

-- What one call changed, as a unit over any number of functions.
CREATE TABLE functions_admin.releases (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  project_ref text NOT NULL REFERENCES functions_admin.projects (ref),
  number      bigint NOT NULL,
  generation  bigint NOT NULL,
  source      text NOT NULL CHECK (source IN ('deploy', 'delete', 'rollback', 'import', 'promote', 'template', 'revert')),
  message     text,
  created_by  text NOT NULL,
  request_id  text NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  UNIQUE (project_ref, number)
);

CREATE TABLE functions_admin.release_items (
  release_id     bigint NOT NULL REFERENCES functions_admin.releases (id) ON DELETE CASCADE,
  function_id    uuid NOT NULL REFERENCES functions_admin.edge_functions (id) ON DELETE CASCADE,
  version_before integer, -- NULL: the function did not serve before
  version_after  integer, -- NULL: the function was removed
  PRIMARY KEY (release_id, function_id)
);
CREATE INDEX release_items_function ON functions_admin.release_items (function_id, release_id DESC);

CREATE TABLE functions_admin.edge_function_deployments (
  id            uuid PRIMARY KEY,
  function_id   uuid NOT NULL REFERENCES functions_admin.edge_functions (id) ON DELETE CASCADE,
  version       integer NOT NULL,
  release_id    bigint REFERENCES functions_admin.releases (id) ON DELETE SET NULL,
  status        text NOT NULL CHECK (status IN
                  ('pending', 'staged', 'booted', 'active', 'verified', 'failed', 'rolled_back', 'bundled')),
  error_code    text,
  error_message text,
  boot_check    text, -- full, weak; NULL: none was made
  boot_ms       integer,
  created_by    text NOT NULL,
  request_id    text NOT NULL,
  created_at    timestamptz NOT NULL DEFAULT now(),
  staged_at     timestamptz,
  booted_at     timestamptz,
  active_at     timestamptz,
  verified_at   timestamptz,
  finished_at   timestamptz
);
CREATE INDEX deployments_function ON functions_admin.edge_function_deployments (function_id, created_at DESC);
CREATE INDEX deployments_open ON functions_admin.edge_function_deployments (status) WHERE finished_at IS NULL;

CREATE TABLE functions_admin.access_tokens (
  id           uuid PRIMARY KEY,
  name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 256),
  token_hash   bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
  scopes       integer NOT NULL,
  project_ref  text REFERENCES functions_admin.projects (ref),
  slugs        text[],
  networks     cidr[],
  created_by   text NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now(),
  expires_at   timestamptz,
  revoked_at   timestamptz,
  last_used_at timestamptz
);

CREATE TABLE functions_admin.audit_log (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at          timestamptz NOT NULL DEFAULT clock_timestamp(),
  project_ref text,
  actor       text NOT NULL,
  token_id    uuid,
  address     text NOT NULL,
  request_id  text NOT NULL,
  action      text NOT NULL,
  target      text NOT NULL,
  outcome     text NOT NULL CHECK (outcome IN ('done', 'failed', 'refused')),
  before      text, -- digests or versions, never bodies and never values
  after       text
);
CREATE INDEX audit_log_project ON functions_admin.audit_log (project_ref, id DESC);

CREATE FUNCTION functions_admin.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON functions_admin.audit_log
  FOR EACH ROW EXECUTE FUNCTION functions_admin.refuse_change();
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON functions_admin.audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION functions_admin.refuse_change();
