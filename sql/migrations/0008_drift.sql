-- A version can be made of what somebody has edited on disk (functions-admin drift accept).
ALTER TABLE functions_admin.edge_function_versions DROP CONSTRAINT edge_function_versions_source_check;
ALTER TABLE functions_admin.edge_function_versions ADD CONSTRAINT edge_function_versions_source_check CHECK (source IN
  ('deploy', 'settings', 'import', 'promote', 'template', 'drift'));
ALTER TABLE functions_admin.releases DROP CONSTRAINT releases_source_check;
ALTER TABLE functions_admin.releases ADD CONSTRAINT releases_source_check CHECK (source IN
  ('deploy', 'delete', 'rollback', 'restore', 'traffic', 'settings', 'import', 'promote', 'template', 'revert', 'drift'));
