-- Modify "signing_keys" table
ALTER TABLE "signing_keys" ADD COLUMN "active_at" bigint NOT NULL DEFAULT 0, ADD COLUMN "retires_at" bigint NOT NULL DEFAULT 0;
-- Create "key_holders" table
CREATE TABLE "key_holders" ("id" character varying NOT NULL, "name" character varying NOT NULL, "keys" jsonb NOT NULL, "primary_key" bigint NOT NULL, "lives_until" bigint NOT NULL, PRIMARY KEY ("id"));
-- Create "sealing_keys" table
CREATE TABLE "sealing_keys" ("id" bigint NOT NULL, "state" character varying NOT NULL, "created_at" bigint NOT NULL, "changed_at" bigint NOT NULL, PRIMARY KEY ("id"));
