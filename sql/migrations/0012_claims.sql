-- Who carries out a request with an Idempotency-Key has a row here from its beginning on: a claim, which is an answer's place. It
-- counts as long as the word of its process does (0009_instances.sql). An older program takes a claim for another request's
-- answer (its `request` is empty), and refuses a repetition.
ALTER TABLE functions_admin.idempotency_keys
  ADD COLUMN claim uuid,
  ADD COLUMN instance_id uuid,
  ADD CHECK ((claim IS NULL) = (instance_id IS NULL));
