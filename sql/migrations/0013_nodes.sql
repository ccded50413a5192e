-- The hosts that show a project's functions, each with its own functions folder and mostly a runtime: a `serve` with a folder, or an
-- `agent`. Each renews its row by itself (service/node.c) and says what its folder shows; the database's clock alone counts.
CREATE TABLE functions_admin.nodes (
  id                uuid PRIMARY KEY,         -- made once, and kept in the folder
  project_ref       text NOT NULL REFERENCES functions_admin.projects (ref) ON DELETE CASCADE,
  name              text NOT NULL,
  kind              text NOT NULL CHECK (kind IN ('serve', 'agent')),
  program           text NOT NULL,
  draining          boolean NOT NULL DEFAULT false,
  check_asked       boolean NOT NULL DEFAULT false, -- somebody wants the files on its disk compared
  started_at        timestamptz NOT NULL,
  alive_until       timestamptz NOT NULL,
  generation        bigint NOT NULL,          -- what its folder shows
  shown_at          timestamptz NOT NULL,     -- since when
  verified          boolean NOT NULL,         -- its runtime has confirmed that generation
  secrets_revision  bigint NOT NULL,
  failed_generation bigint,                   -- what it was to show, and could not
  error_code        text,
  error_message     text,
  error_at          timestamptz
);
CREATE INDEX nodes_project ON functions_admin.nodes (project_ref);

-- What is being brought to the nodes: the versions that each must hold, and have booted, before any of them serves one. Only where
-- there is more than one node.
CREATE TABLE functions_admin.rollouts (
  id           uuid PRIMARY KEY,
  project_ref  text NOT NULL REFERENCES functions_admin.projects (ref) ON DELETE CASCADE,
  instance_id  uuid NOT NULL,                 -- the process that carries it out
  function_ids uuid[] NOT NULL,
  versions     integer[] NOT NULL,
  boots        boolean[] NOT NULL,            -- false: a runtime has booted this version before
  generation   bigint,                        -- once it is active
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at  timestamptz
);
CREATE INDEX rollouts_open ON functions_admin.rollouts (project_ref) WHERE finished_at IS NULL;
CREATE INDEX rollouts_created ON functions_admin.rollouts (created_at);

-- How far each node has come. The name is kept for when the node is gone.
CREATE TABLE functions_admin.rollout_nodes (
  rollout_id    uuid NOT NULL REFERENCES functions_admin.rollouts (id) ON DELETE CASCADE,
  node_id       uuid NOT NULL,
  node_name     text NOT NULL,
  staged_at     timestamptz,
  active_at     timestamptz,
  verified      boolean NOT NULL DEFAULT false,
  error_code    text,
  error_message text,
  PRIMARY KEY (rollout_id, node_id)
);
ALTER TABLE functions_admin.edge_function_deployments
  ADD COLUMN rollout_id uuid REFERENCES functions_admin.rollouts (id) ON DELETE SET NULL;
CREATE INDEX edge_function_deployments_rollout ON functions_admin.edge_function_deployments (rollout_id) WHERE rollout_id IS NOT NULL;
