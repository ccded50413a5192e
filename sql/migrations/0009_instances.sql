-- Which processes serve, by their own word: each renews its row again and again (service/heartbeat.c). A deployment that is
-- unfinished when the word of its process has run out is nobody's any more. An older program knows of neither; its
-- deployments have no instance.
CREATE TABLE functions_admin.instances (
  id          uuid PRIMARY KEY,
  alive_until timestamptz NOT NULL
);
ALTER TABLE functions_admin.edge_function_deployments ADD COLUMN instance_id uuid;
