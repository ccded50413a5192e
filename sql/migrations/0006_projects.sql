-- More than one project in one installation: each with its own folder, runtime and keys.
-- Of the project that the configuration names, these come from there and are NULL here.
ALTER TABLE functions_admin.projects
  ADD COLUMN functions_dir text,
  ADD COLUMN runtime_url text,
  ADD COLUMN keys bytea, -- sealed with the master key: {"jwt_secret", "anon_key", "service_role_key", ...}
  ADD COLUMN deleted_at timestamptz;
