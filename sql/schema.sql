-- What the migrations make, by pg_dump. Not run by anything: for reading. Written anew by:
--   UPDATE=1 node --test tests/integration/migrate.test.mjs

CREATE SCHEMA functions_admin;

CREATE FUNCTION functions_admin.event_drop(day date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  EXECUTE format('DROP TABLE IF EXISTS functions_admin.%I', 'function_events_' || to_char(day, 'YYYYMMDD'));
END
$$;

CREATE FUNCTION functions_admin.event_partition(day date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  name text := 'function_events_' || to_char(day, 'YYYYMMDD');
  role text;
BEGIN
  IF to_regclass('functions_admin.' || name) IS NOT NULL THEN
    RETURN;
  END IF;
  PERFORM pg_advisory_xact_lock(28728020124199795);
  EXECUTE format('CREATE TABLE IF NOT EXISTS functions_admin.%I PARTITION OF functions_admin.function_events FOR VALUES FROM (%L) TO (%L)',
    name, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
  FOR role IN SELECT r FROM unnest(ARRAY['anon', 'authenticated', 'service_role']) r
    WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = r) LOOP
    EXECUTE format('REVOKE ALL ON functions_admin.%I FROM %I', name, role);
  END LOOP;
END
$$;

CREATE FUNCTION functions_admin.event_shed(day date, whole boolean) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  name text := 'function_events_' || to_char(day, 'YYYYMMDD');
  last bigint;
  lost bigint;
BEGIN
  IF to_regclass('functions_admin.' || name) IS NULL THEN
    RETURN 0;
  END IF;
  -- As batches take them: none comes meanwhile, and in this order nobody waits for the other.
  PERFORM pg_advisory_xact_lock(28728020124199795);
  PERFORM pg_advisory_xact_lock(28728020124199796);
  EXECUTE format('ALTER TABLE functions_admin.function_events DETACH PARTITION functions_admin.%I', name);
  EXECUTE format('ALTER TABLE functions_admin.%I RENAME TO function_events_shed', name);
  SELECT CASE WHEN whole THEN max(id) ELSE (min(id) + max(id)) / 2 END INTO last FROM functions_admin.function_events_shed;
  PERFORM functions_admin.event_partition(d) FROM unnest(ARRAY[(now() AT TIME ZONE 'UTC')::date] || CASE WHEN NOT whole THEN day END) d
    WHERE d IS NOT NULL;
  INSERT INTO functions_admin.function_events SELECT * FROM functions_admin.function_events_shed WHERE id > last;
  WITH counted AS (
    SELECT project_ref, sum(CASE kind WHEN 'dropped' THEN count ELSE 1 END)::bigint AS events
    FROM functions_admin.function_events_shed WHERE id <= last GROUP BY project_ref
  ), told AS (
    INSERT INTO functions_admin.function_events (at, project_ref, slug, version, kind, level, message, count)
    SELECT clock_timestamp(), project_ref, '', 0, 'dropped', 'warning', events || ' stored events were dropped: the log is full', events
    FROM counted
  )
  SELECT coalesce(sum(events), 0) INTO lost FROM counted;
  DROP TABLE functions_admin.function_events_shed;
  RETURN lost;
END
$$;

CREATE FUNCTION functions_admin.keep_audit() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF TG_OP = 'DELETE' AND EXISTS (SELECT FROM functions_admin.audit_checkpoints c WHERE c.chain = OLD.chain AND c.seq >= OLD.seq) THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'audit_log is append-only' USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE FUNCTION functions_admin.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE FUNCTION functions_admin.refuse_update() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RAISE EXCEPTION '% rows are immutable', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE TABLE functions_admin.access_tokens (
    id uuid NOT NULL,
    name text NOT NULL,
    token_hash bytea NOT NULL,
    scopes integer NOT NULL,
    project_ref text,
    slugs text[],
    networks cidr[],
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    last_used_at timestamp with time zone,
    CONSTRAINT access_tokens_name_check CHECK (((length(name) >= 1) AND (length(name) <= 256))),
    CONSTRAINT access_tokens_token_hash_check CHECK ((length(token_hash) = 32))
);

CREATE TABLE functions_admin.audit_checkpoints (
    chain text NOT NULL,
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    mac bytea NOT NULL,
    made_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT audit_checkpoints_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT audit_checkpoints_mac_check CHECK ((length(mac) = 32))
);

CREATE TABLE functions_admin.audit_heads (
    chain text NOT NULL,
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    mac bytea NOT NULL,
    CONSTRAINT audit_heads_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT audit_heads_mac_check CHECK ((length(mac) = 32))
);

CREATE TABLE functions_admin.audit_log (
    chain text GENERATED ALWAYS AS (COALESCE(project_ref, ''::text)) STORED NOT NULL,
    seq bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    project_ref text,
    actor text NOT NULL,
    token_id uuid,
    address text NOT NULL,
    request_id text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    outcome text NOT NULL,
    before text,
    after text,
    hash bytea NOT NULL,
    CONSTRAINT audit_log_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT audit_log_outcome_check CHECK ((outcome = ANY (ARRAY['done'::text, 'failed'::text, 'refused'::text]))),
    CONSTRAINT audit_log_seq_check CHECK ((seq > 0))
);

CREATE TABLE functions_admin.blob_chunks (
    sha256 bytea NOT NULL,
    seq integer NOT NULL,
    data bytea NOT NULL,
    CONSTRAINT blob_chunks_seq_check CHECK ((seq >= 0))
);

CREATE TABLE functions_admin.blobs (
    sha256 bytea NOT NULL,
    size bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT blobs_sha256_check CHECK ((length(sha256) = 32)),
    CONSTRAINT blobs_size_check CHECK ((size >= 0))
);

CREATE TABLE functions_admin.edge_function_deployments (
    id uuid NOT NULL,
    function_id uuid NOT NULL,
    version integer NOT NULL,
    release_id bigint,
    status text NOT NULL,
    error_code text,
    error_message text,
    boot_check text,
    boot_ms integer,
    created_by text NOT NULL,
    request_id text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    staged_at timestamp with time zone,
    booted_at timestamp with time zone,
    active_at timestamp with time zone,
    verified_at timestamp with time zone,
    finished_at timestamp with time zone,
    instance_id uuid,
    rollout_id uuid,
    CONSTRAINT edge_function_deployments_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'staged'::text, 'booted'::text, 'active'::text, 'verified'::text, 'failed'::text, 'rolled_back'::text, 'bundled'::text])))
);

CREATE TABLE functions_admin.edge_function_files (
    function_id uuid NOT NULL,
    version integer NOT NULL,
    path text NOT NULL COLLATE pg_catalog."C",
    sha256 bytea NOT NULL,
    size bigint NOT NULL
);

CREATE TABLE functions_admin.edge_function_versions (
    function_id uuid NOT NULL,
    version integer NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    entrypoint_path text NOT NULL,
    import_map_path text,
    static_patterns text[] DEFAULT '{}'::text[] NOT NULL,
    verify_jwt boolean NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    digest bytea NOT NULL,
    size bigint NOT NULL,
    file_count integer NOT NULL,
    ezbr_sha256 text,
    message text,
    source text NOT NULL,
    source_version integer,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    source_project text,
    CONSTRAINT edge_function_versions_digest_check CHECK ((length(digest) = 32)),
    CONSTRAINT edge_function_versions_kind_check CHECK ((kind = ANY (ARRAY['source'::text, 'eszip'::text]))),
    CONSTRAINT edge_function_versions_source_check CHECK ((source = ANY (ARRAY['deploy'::text, 'settings'::text, 'import'::text, 'promote'::text, 'template'::text, 'drift'::text]))),
    CONSTRAINT edge_function_versions_version_check CHECK ((version > 0))
);

CREATE TABLE functions_admin.edge_functions (
    id uuid NOT NULL,
    project_ref text NOT NULL,
    slug text NOT NULL,
    name text NOT NULL,
    status text DEFAULT 'ACTIVE'::text NOT NULL,
    active_version integer,
    latest_version integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    sticky jsonb,
    CONSTRAINT edge_functions_name_check CHECK (((length(name) >= 1) AND (length(name) <= 256))),
    CONSTRAINT edge_functions_slug_check CHECK ((slug ~ '^[A-Za-z][A-Za-z0-9_-]{0,127}$'::text)),
    CONSTRAINT edge_functions_status_check CHECK ((status = ANY (ARRAY['ACTIVE'::text, 'REMOVED'::text, 'THROTTLED'::text])))
);

CREATE TABLE functions_admin.event_sources (
    source uuid NOT NULL,
    batch bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE functions_admin.function_events (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    project_ref text NOT NULL,
    slug text NOT NULL,
    version integer NOT NULL,
    kind text NOT NULL,
    level text NOT NULL,
    message text NOT NULL,
    execution_id text,
    status integer,
    ms integer,
    count bigint,
    CONSTRAINT function_events_kind_check CHECK ((kind = ANY (ARRAY['log'::text, 'boot'::text, 'boot_failure'::text, 'exception'::text, 'shutdown'::text, 'call'::text, 'dropped'::text]))),
    CONSTRAINT function_events_level_check CHECK ((level = ANY (ARRAY['debug'::text, 'info'::text, 'warning'::text, 'error'::text]))),
    CONSTRAINT function_events_message_check CHECK ((length(message) <= 10000))
)
PARTITION BY RANGE (at);

ALTER TABLE functions_admin.function_events ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME functions_admin.function_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE functions_admin.function_traffic (
    function_id uuid NOT NULL,
    version integer NOT NULL,
    percent integer NOT NULL,
    CONSTRAINT function_traffic_percent_check CHECK (((percent >= 0) AND (percent <= 100)))
);

CREATE TABLE functions_admin.idempotency_keys (
    principal text NOT NULL,
    key text NOT NULL,
    request bytea NOT NULL,
    status integer NOT NULL,
    answer bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    claim uuid,
    instance_id uuid,
    CONSTRAINT idempotency_keys_check CHECK (((claim IS NULL) = (instance_id IS NULL))),
    CONSTRAINT idempotency_keys_key_check CHECK (((length(key) >= 1) AND (length(key) <= 255)))
);

CREATE TABLE functions_admin.installation (
    one boolean DEFAULT true NOT NULL,
    fingerprint bytea NOT NULL,
    CONSTRAINT installation_one_check CHECK (one)
);

CREATE TABLE functions_admin.instances (
    id uuid NOT NULL,
    alive_until timestamp with time zone NOT NULL
);

CREATE TABLE functions_admin.nodes (
    id uuid NOT NULL,
    project_ref text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    program text NOT NULL,
    draining boolean DEFAULT false NOT NULL,
    check_asked boolean DEFAULT false NOT NULL,
    started_at timestamp with time zone NOT NULL,
    alive_until timestamp with time zone NOT NULL,
    generation bigint NOT NULL,
    shown_at timestamp with time zone NOT NULL,
    verified boolean NOT NULL,
    secrets_revision bigint NOT NULL,
    failed_generation bigint,
    error_code text,
    error_message text,
    error_at timestamp with time zone,
    CONSTRAINT nodes_kind_check CHECK ((kind = ANY (ARRAY['serve'::text, 'agent'::text])))
);

CREATE TABLE functions_admin.projects (
    ref text NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    is_default boolean DEFAULT false NOT NULL,
    generation bigint DEFAULT 0 NOT NULL,
    revision bigint DEFAULT 0 NOT NULL,
    release_number bigint DEFAULT 0 NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    secrets_revision bigint DEFAULT 0 NOT NULL,
    functions_dir text,
    runtime_url text,
    keys bytea,
    deleted_at timestamp with time zone,
    CONSTRAINT projects_name_check CHECK (((length(name) >= 1) AND (length(name) <= 256))),
    CONSTRAINT projects_ref_check CHECK ((ref ~ '^[a-z]{20}$'::text))
);

CREATE TABLE functions_admin.release_items (
    release_id bigint NOT NULL,
    function_id uuid NOT NULL,
    version_before integer,
    version_after integer,
    traffic_before jsonb,
    traffic_after jsonb
);

CREATE TABLE functions_admin.releases (
    id bigint NOT NULL,
    project_ref text NOT NULL,
    number bigint NOT NULL,
    generation bigint NOT NULL,
    source text NOT NULL,
    message text,
    created_by text NOT NULL,
    request_id text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT releases_source_check CHECK ((source = ANY (ARRAY['deploy'::text, 'delete'::text, 'rollback'::text, 'restore'::text, 'traffic'::text, 'settings'::text, 'import'::text, 'promote'::text, 'template'::text, 'revert'::text, 'drift'::text])))
);

ALTER TABLE functions_admin.releases ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME functions_admin.releases_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE functions_admin.rollout_nodes (
    rollout_id uuid NOT NULL,
    node_id uuid NOT NULL,
    node_name text NOT NULL,
    staged_at timestamp with time zone,
    active_at timestamp with time zone,
    verified boolean DEFAULT false NOT NULL,
    error_code text,
    error_message text
);

CREATE TABLE functions_admin.rollouts (
    id uuid NOT NULL,
    project_ref text NOT NULL,
    instance_id uuid NOT NULL,
    function_ids uuid[] NOT NULL,
    versions integer[] NOT NULL,
    boots boolean[] NOT NULL,
    generation bigint,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamp with time zone
);

CREATE TABLE functions_admin.schema_migrations (
    version integer NOT NULL,
    name text NOT NULL,
    checksum bytea NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE functions_admin.secret_revisions (
    project_ref text NOT NULL,
    revision bigint NOT NULL,
    source text NOT NULL,
    restored bigint,
    changed integer NOT NULL,
    created_by text NOT NULL,
    request_id text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT secret_revisions_revision_check CHECK ((revision > 0)),
    CONSTRAINT secret_revisions_source_check CHECK ((source = ANY (ARRAY['set'::text, 'unset'::text, 'rollback'::text])))
);

CREATE TABLE functions_admin.secrets (
    id bigint NOT NULL,
    project_ref text NOT NULL,
    function_id uuid,
    name text NOT NULL COLLATE pg_catalog."C",
    sealed bytea NOT NULL,
    key_id bytea NOT NULL,
    created_revision bigint NOT NULL,
    removed_revision bigint,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT secrets_check CHECK ((removed_revision > created_revision)),
    CONSTRAINT secrets_key_id_check CHECK ((length(key_id) = 4)),
    CONSTRAINT secrets_name_check CHECK (((length(name) >= 1) AND (length(name) <= 256)))
);

ALTER TABLE functions_admin.secrets ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME functions_admin.secrets_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY functions_admin.access_tokens
    ADD CONSTRAINT access_tokens_pkey PRIMARY KEY (id);

ALTER TABLE ONLY functions_admin.access_tokens
    ADD CONSTRAINT access_tokens_token_hash_key UNIQUE (token_hash);

ALTER TABLE ONLY functions_admin.audit_checkpoints
    ADD CONSTRAINT audit_checkpoints_pkey PRIMARY KEY (chain);

ALTER TABLE ONLY functions_admin.audit_heads
    ADD CONSTRAINT audit_heads_pkey PRIMARY KEY (chain);

ALTER TABLE ONLY functions_admin.audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (chain, seq);

ALTER TABLE ONLY functions_admin.blob_chunks
    ADD CONSTRAINT blob_chunks_pkey PRIMARY KEY (sha256, seq);

ALTER TABLE ONLY functions_admin.blobs
    ADD CONSTRAINT blobs_pkey PRIMARY KEY (sha256);

ALTER TABLE ONLY functions_admin.edge_function_deployments
    ADD CONSTRAINT edge_function_deployments_pkey PRIMARY KEY (id);

ALTER TABLE ONLY functions_admin.edge_function_files
    ADD CONSTRAINT edge_function_files_pkey PRIMARY KEY (function_id, version, path);

ALTER TABLE ONLY functions_admin.edge_function_versions
    ADD CONSTRAINT edge_function_versions_pkey PRIMARY KEY (function_id, version);

ALTER TABLE ONLY functions_admin.edge_functions
    ADD CONSTRAINT edge_functions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY functions_admin.event_sources
    ADD CONSTRAINT event_sources_pkey PRIMARY KEY (source);

ALTER TABLE ONLY functions_admin.function_traffic
    ADD CONSTRAINT function_traffic_pkey PRIMARY KEY (function_id, version);

ALTER TABLE ONLY functions_admin.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (principal, key);

ALTER TABLE ONLY functions_admin.installation
    ADD CONSTRAINT installation_pkey PRIMARY KEY (one);

ALTER TABLE ONLY functions_admin.instances
    ADD CONSTRAINT instances_pkey PRIMARY KEY (id);

ALTER TABLE ONLY functions_admin.nodes
    ADD CONSTRAINT nodes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY functions_admin.projects
    ADD CONSTRAINT projects_id_key UNIQUE (id);

ALTER TABLE ONLY functions_admin.projects
    ADD CONSTRAINT projects_pkey PRIMARY KEY (ref);

ALTER TABLE ONLY functions_admin.release_items
    ADD CONSTRAINT release_items_pkey PRIMARY KEY (release_id, function_id);

ALTER TABLE ONLY functions_admin.releases
    ADD CONSTRAINT releases_pkey PRIMARY KEY (id);

ALTER TABLE ONLY functions_admin.releases
    ADD CONSTRAINT releases_project_ref_number_key UNIQUE (project_ref, number);

ALTER TABLE ONLY functions_admin.rollout_nodes
    ADD CONSTRAINT rollout_nodes_pkey PRIMARY KEY (rollout_id, node_id);

ALTER TABLE ONLY functions_admin.rollouts
    ADD CONSTRAINT rollouts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY functions_admin.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);

ALTER TABLE ONLY functions_admin.secret_revisions
    ADD CONSTRAINT secret_revisions_pkey PRIMARY KEY (project_ref, revision);

ALTER TABLE ONLY functions_admin.secrets
    ADD CONSTRAINT secrets_pkey PRIMARY KEY (id);

CREATE INDEX deployments_function ON functions_admin.edge_function_deployments USING btree (function_id, created_at DESC);

CREATE INDEX deployments_open ON functions_admin.edge_function_deployments USING btree (status) WHERE (finished_at IS NULL);

CREATE INDEX deployments_project ON functions_admin.edge_function_deployments USING btree (created_at DESC, id);

CREATE INDEX edge_function_deployments_rollout ON functions_admin.edge_function_deployments USING btree (rollout_id) WHERE (rollout_id IS NOT NULL);

CREATE INDEX edge_function_files_blob ON functions_admin.edge_function_files USING btree (sha256);

CREATE INDEX edge_function_versions_pinned ON functions_admin.edge_function_versions USING btree (function_id) WHERE (settings ? 'secrets_revision'::text);

CREATE INDEX edge_functions_deleted ON functions_admin.edge_functions USING btree (project_ref, deleted_at) WHERE (deleted_at IS NOT NULL);

CREATE UNIQUE INDEX edge_functions_slug ON functions_admin.edge_functions USING btree (project_ref, slug) WHERE (deleted_at IS NULL);

CREATE INDEX function_events_errors ON ONLY functions_admin.function_events USING btree (project_ref, slug, at DESC) WHERE ((level = 'error'::text) AND (kind <> 'call'::text));

CREATE INDEX function_events_function ON ONLY functions_admin.function_events USING btree (project_ref, slug, at DESC, id DESC);

CREATE INDEX functions_deleted_slug ON functions_admin.edge_functions USING btree (project_ref, slug, deleted_at DESC) WHERE (deleted_at IS NOT NULL);

CREATE INDEX idempotency_keys_age ON functions_admin.idempotency_keys USING btree (created_at);

CREATE INDEX nodes_project ON functions_admin.nodes USING btree (project_ref);

CREATE UNIQUE INDEX projects_default ON functions_admin.projects USING btree (is_default) WHERE is_default;

CREATE INDEX release_items_function ON functions_admin.release_items USING btree (function_id, release_id DESC);

CREATE INDEX rollouts_created ON functions_admin.rollouts USING btree (created_at);

CREATE INDEX rollouts_open ON functions_admin.rollouts USING btree (project_ref) WHERE (finished_at IS NULL);

CREATE UNIQUE INDEX secrets_current ON functions_admin.secrets USING btree (project_ref, COALESCE(function_id, '00000000-0000-0000-0000-000000000000'::uuid), name) WHERE (removed_revision IS NULL);

CREATE INDEX secrets_function ON functions_admin.secrets USING btree (function_id) WHERE (function_id IS NOT NULL);

CREATE INDEX secrets_history ON functions_admin.secrets USING btree (project_ref, removed_revision) WHERE (removed_revision IS NOT NULL);

CREATE INDEX versions_pinned ON functions_admin.edge_function_versions USING btree (function_id, version) WHERE (settings ? 'secrets_revision'::text);

CREATE TRIGGER audit_checkpoints_stay BEFORE DELETE ON functions_admin.audit_checkpoints FOR EACH ROW EXECUTE FUNCTION functions_admin.refuse_change();

CREATE TRIGGER audit_heads_no_truncate BEFORE TRUNCATE ON functions_admin.audit_heads FOR EACH STATEMENT EXECUTE FUNCTION functions_admin.refuse_change();

CREATE TRIGGER audit_heads_stay BEFORE DELETE ON functions_admin.audit_heads FOR EACH ROW EXECUTE FUNCTION functions_admin.refuse_change();

CREATE TRIGGER audit_log_append_only BEFORE DELETE OR UPDATE ON functions_admin.audit_log FOR EACH ROW EXECUTE FUNCTION functions_admin.keep_audit();

CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON functions_admin.audit_log FOR EACH STATEMENT EXECUTE FUNCTION functions_admin.refuse_change();

CREATE TRIGGER chunks_immutable BEFORE UPDATE ON functions_admin.blob_chunks FOR EACH ROW EXECUTE FUNCTION functions_admin.refuse_update();

CREATE TRIGGER files_immutable BEFORE UPDATE ON functions_admin.edge_function_files FOR EACH ROW EXECUTE FUNCTION functions_admin.refuse_update();

CREATE TRIGGER versions_immutable BEFORE UPDATE ON functions_admin.edge_function_versions FOR EACH ROW EXECUTE FUNCTION functions_admin.refuse_update();

ALTER TABLE ONLY functions_admin.access_tokens
    ADD CONSTRAINT access_tokens_project_ref_fkey FOREIGN KEY (project_ref) REFERENCES functions_admin.projects(ref);

ALTER TABLE ONLY functions_admin.blob_chunks
    ADD CONSTRAINT blob_chunks_sha256_fkey FOREIGN KEY (sha256) REFERENCES functions_admin.blobs(sha256) ON DELETE CASCADE;

ALTER TABLE ONLY functions_admin.edge_function_deployments
    ADD CONSTRAINT edge_function_deployments_function_id_fkey FOREIGN KEY (function_id) REFERENCES functions_admin.edge_functions(id) ON DELETE CASCADE;

ALTER TABLE ONLY functions_admin.edge_function_deployments
    ADD CONSTRAINT edge_function_deployments_release_id_fkey FOREIGN KEY (release_id) REFERENCES functions_admin.releases(id) ON DELETE SET NULL;

ALTER TABLE ONLY functions_admin.edge_function_deployments
    ADD CONSTRAINT edge_function_deployments_rollout_id_fkey FOREIGN KEY (rollout_id) REFERENCES functions_admin.rollouts(id) ON DELETE SET NULL;

ALTER TABLE ONLY functions_admin.edge_function_files
    ADD CONSTRAINT edge_function_files_function_id_version_fkey FOREIGN KEY (function_id, version) REFERENCES functions_admin.edge_function_versions(function_id, version) ON DELETE CASCADE;

ALTER TABLE ONLY functions_admin.edge_function_files
    ADD CONSTRAINT edge_function_files_sha256_fkey FOREIGN KEY (sha256) REFERENCES functions_admin.blobs(sha256);

ALTER TABLE ONLY functions_admin.edge_function_versions
    ADD CONSTRAINT edge_function_versions_function_id_fkey FOREIGN KEY (function_id) REFERENCES functions_admin.edge_functions(id) ON DELETE CASCADE;

ALTER TABLE ONLY functions_admin.edge_functions
    ADD CONSTRAINT edge_functions_project_ref_fkey FOREIGN KEY (project_ref) REFERENCES functions_admin.projects(ref);

ALTER TABLE ONLY functions_admin.function_traffic
    ADD CONSTRAINT function_traffic_function_id_fkey FOREIGN KEY (function_id) REFERENCES functions_admin.edge_functions(id) ON DELETE CASCADE;

ALTER TABLE ONLY functions_admin.function_traffic
    ADD CONSTRAINT function_traffic_function_id_version_fkey FOREIGN KEY (function_id, version) REFERENCES functions_admin.edge_function_versions(function_id, version);

ALTER TABLE ONLY functions_admin.nodes
    ADD CONSTRAINT nodes_project_ref_fkey FOREIGN KEY (project_ref) REFERENCES functions_admin.projects(ref) ON DELETE CASCADE;

ALTER TABLE ONLY functions_admin.release_items
    ADD CONSTRAINT release_items_function_id_fkey FOREIGN KEY (function_id) REFERENCES functions_admin.edge_functions(id) ON DELETE CASCADE;

ALTER TABLE ONLY functions_admin.release_items
    ADD CONSTRAINT release_items_release_id_fkey FOREIGN KEY (release_id) REFERENCES functions_admin.releases(id) ON DELETE CASCADE;

ALTER TABLE ONLY functions_admin.releases
    ADD CONSTRAINT releases_project_ref_fkey FOREIGN KEY (project_ref) REFERENCES functions_admin.projects(ref);

ALTER TABLE ONLY functions_admin.rollout_nodes
    ADD CONSTRAINT rollout_nodes_rollout_id_fkey FOREIGN KEY (rollout_id) REFERENCES functions_admin.rollouts(id) ON DELETE CASCADE;

ALTER TABLE ONLY functions_admin.rollouts
    ADD CONSTRAINT rollouts_project_ref_fkey FOREIGN KEY (project_ref) REFERENCES functions_admin.projects(ref) ON DELETE CASCADE;

ALTER TABLE ONLY functions_admin.secret_revisions
    ADD CONSTRAINT secret_revisions_project_ref_fkey FOREIGN KEY (project_ref) REFERENCES functions_admin.projects(ref);

ALTER TABLE ONLY functions_admin.secrets
    ADD CONSTRAINT secrets_function_id_fkey FOREIGN KEY (function_id) REFERENCES functions_admin.edge_functions(id) ON DELETE CASCADE;

ALTER TABLE ONLY functions_admin.secrets
    ADD CONSTRAINT secrets_project_ref_fkey FOREIGN KEY (project_ref) REFERENCES functions_admin.projects(ref);
