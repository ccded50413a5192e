-- The service works under a role that may neither make nor drop tables (sql/service_role.sql). The days of the event log are
-- tables: these two functions make and drop them with the rights of the schema's owner, and can do nothing else.

ALTER FUNCTION functions_admin.event_partition(date) SECURITY DEFINER;

-- The name is made of a day here, so that nothing but a day's partition can be dropped.
CREATE FUNCTION functions_admin.event_drop(day date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('DROP TABLE IF EXISTS functions_admin.%I', 'function_events_' || to_char(day, 'YYYYMMDD'));
END
$$;
