-- Which revisions of the secrets versions are pinned to is asked at every activation and every sweep; without this index the
-- server reads all versions for it.
CREATE INDEX edge_function_versions_pinned ON functions_admin.edge_function_versions (function_id)
  WHERE settings ? 'secrets_revision';
