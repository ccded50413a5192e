-- The audit log as hash chains, one a project (and one, named '', for what concerns no project). Each row's hash covers the row and
-- the hash before it, under a key that the database never sees: whoever can write here can still not make a row that fits.
-- A chain's head is locked by the last statement of a transaction, so rows stand in the order of their commits, and transactions
-- of one project wait for each other only while they commit.

-- No release ever wrote into the one that 0001 makes.
DROP TABLE functions_admin.audit_log;

CREATE TABLE functions_admin.audit_log (
  chain       text NOT NULL GENERATED ALWAYS AS (coalesce(project_ref, '')) STORED,
  seq         bigint NOT NULL CHECK (seq > 0),
  at          timestamptz NOT NULL,
  project_ref text,
  actor       text NOT NULL,
  token_id    uuid,
  address     text NOT NULL,
  request_id  text NOT NULL,
  action      text NOT NULL,
  target      text NOT NULL,
  outcome     text NOT NULL CHECK (outcome IN ('done', 'failed', 'refused')),
  before      text, -- digests or versions, never bodies and never values
  after       text,
  hash        bytea NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (chain, seq)
);

CREATE TABLE functions_admin.audit_heads (
  chain text PRIMARY KEY,
  seq   bigint NOT NULL,
  hash  bytea NOT NULL CHECK (length(hash) = 32),
  mac   bytea NOT NULL CHECK (length(mac) = 32)
);

-- Where a chain begins after its oldest rows were removed.
CREATE TABLE functions_admin.audit_checkpoints (
  chain   text PRIMARY KEY,
  seq     bigint NOT NULL, -- the last row that was removed
  hash    bytea NOT NULL CHECK (length(hash) = 32),
  mac     bytea NOT NULL CHECK (length(mac) = 32),
  made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Rows go only where a checkpoint stands for them.
CREATE FUNCTION functions_admin.keep_audit() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'DELETE' AND EXISTS (SELECT FROM functions_admin.audit_checkpoints c WHERE c.chain = OLD.chain AND c.seq >= OLD.seq) THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'audit_log is append-only' USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON functions_admin.audit_log
  FOR EACH ROW EXECUTE FUNCTION functions_admin.keep_audit();
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON functions_admin.audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION functions_admin.refuse_change();
CREATE TRIGGER audit_heads_stay BEFORE DELETE ON functions_admin.audit_heads
  FOR EACH ROW EXECUTE FUNCTION functions_admin.refuse_change();
CREATE TRIGGER audit_heads_no_truncate BEFORE TRUNCATE ON functions_admin.audit_heads
  FOR EACH STATEMENT EXECUTE FUNCTION functions_admin.refuse_change();
CREATE TRIGGER audit_checkpoints_stay BEFORE DELETE ON functions_admin.audit_checkpoints
  FOR EACH ROW EXECUTE FUNCTION functions_admin.refuse_change();
