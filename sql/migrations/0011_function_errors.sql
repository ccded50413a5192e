-- The newest error of each function, for the list of all of them: without this, one look reads everything that was logged.

CREATE INDEX function_events_errors ON functions_admin.function_events (project_ref, slug, at DESC)
  WHERE level = 'error' AND kind <> 'call';
