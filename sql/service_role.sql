-- The role that `serve` takes for its sessions, and the only list of what it may do. `functions-admin migrate` runs this after the
-- migrations, each time, so that a database that was restored without its rights, or migrated by somebody who may not make roles,
-- has them after the next run. docs/decisions/0008 says why it is no migration. A table that is missing here fails a test.
DO $$
DECLARE
  service constant name := 'functions_admin_service';
  schema_owner constant oid := (SELECT nspowner FROM pg_catalog.pg_namespace WHERE nspname = 'functions_admin');
  item record;
BEGIN
  -- Whoever does not own the schema cannot grant anything on it; a login with the service's rights alone is not stopped by that.
  IF NOT pg_catalog.pg_has_role(schema_owner, 'USAGE') THEN
    RETURN;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = service) THEN
    BEGIN
      EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', service);
    EXCEPTION
      WHEN insufficient_privilege THEN RETURN; -- `migrate` and `doctor` tell of it
      WHEN duplicate_object OR unique_violation THEN NULL; -- roles are the cluster's: another database made it just now
    END;
  END IF;
  -- From PostgreSQL 16 on, who makes a role is its member without the right to take it.
  IF NOT pg_catalog.pg_has_role(service, CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END) THEN
    BEGIN
      EXECUTE pg_catalog.format('GRANT %I TO %I', service, current_user);
    EXCEPTION
      WHEN insufficient_privilege THEN NULL;
    END;
  END IF;

  EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA functions_admin FROM %1$I;
    REVOKE ALL ON ALL TABLES IN SCHEMA functions_admin FROM %1$I;
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA functions_admin FROM %1$I;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA functions_admin FROM %1$I;
    GRANT USAGE ON SCHEMA functions_admin TO %1$I;
    GRANT EXECUTE ON FUNCTION functions_admin.event_partition(date), functions_admin.event_drop(date),
      functions_admin.event_shed(date, boolean) TO %1$I', service);
  FOR item IN SELECT * FROM (VALUES
    ('access_tokens', 'SELECT, INSERT, UPDATE'),
    ('audit_checkpoints', 'SELECT'), -- `audit prune` is the owner's
    ('audit_heads', 'SELECT, INSERT, UPDATE'),
    ('audit_log', 'SELECT, INSERT'),
    ('blob_chunks', 'SELECT, INSERT'),
    ('blobs', 'SELECT, INSERT, DELETE, UPDATE (created_at)'), -- FOR UPDATE wants the right to change some column
    ('edge_function_deployments', 'SELECT, INSERT, UPDATE, DELETE'),
    ('edge_function_files', 'SELECT, INSERT'),
    ('edge_function_versions', 'SELECT, INSERT, DELETE'),
    ('edge_functions', 'SELECT, INSERT, UPDATE, DELETE'),
    ('event_sources', 'SELECT, INSERT, UPDATE, DELETE'),
    ('function_events', 'SELECT, INSERT'),
    ('function_traffic', 'SELECT, INSERT, DELETE'),
    ('idempotency_keys', 'SELECT, INSERT, UPDATE, DELETE'),
    ('installation', 'SELECT, INSERT'),
    ('instances', 'SELECT, INSERT, UPDATE, DELETE'),
    ('nodes', 'SELECT, INSERT, UPDATE, DELETE'),
    ('projects', 'SELECT, INSERT, UPDATE'),
    ('release_items', 'SELECT, INSERT'),
    ('releases', 'SELECT, INSERT'),
    ('rollout_nodes', 'SELECT, INSERT, UPDATE, DELETE'),
    ('rollouts', 'SELECT, INSERT, UPDATE, DELETE'),
    ('schema_migrations', 'SELECT'),
    ('secret_revisions', 'SELECT, INSERT, DELETE'),
    ('secrets', 'SELECT, INSERT, UPDATE, DELETE')
  ) list (of_table, rights) LOOP
    EXECUTE pg_catalog.format('GRANT %s ON functions_admin.%I TO %I', item.rights, item.of_table, service);
  END LOOP;
END
$$;
