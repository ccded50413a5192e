-- What does not fit into the log goes, the oldest first, and is counted for each project: a day as a whole, or its older half.
-- The events themselves, and those that rows of the kind "dropped" among them tell of.
CREATE FUNCTION functions_admin.event_shed(day date, whole boolean) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
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
REVOKE ALL ON FUNCTION functions_admin.event_shed(date, boolean) FROM PUBLIC;
