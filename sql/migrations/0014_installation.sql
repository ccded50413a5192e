-- Whose database this is: a keyed hash that only the installation's master_key makes. A command that is run with the address of
-- another installation's database stops there, before it writes (service/installation.c).
CREATE TABLE functions_admin.installation (
  one         boolean PRIMARY KEY DEFAULT true CHECK (one),
  fingerprint bytea NOT NULL
);
