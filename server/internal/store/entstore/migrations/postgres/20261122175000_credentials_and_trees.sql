-- Modify "active_executions" table
ALTER TABLE "active_executions" ADD COLUMN "trees" text NOT NULL DEFAULT '', ADD COLUMN "waiting_for" bigint NOT NULL DEFAULT 0;
-- Create index "active_executions_trees" to table: "active_executions"
CREATE INDEX "active_executions_trees" ON "active_executions" ("id") WHERE (length(trees) > 0);
-- Modify "jobs" table
ALTER TABLE "jobs" ADD COLUMN "pause_reauth" boolean NOT NULL DEFAULT false;
-- Modify "resource_configs" table
ALTER TABLE "resource_configs" ADD COLUMN "account" character varying NOT NULL DEFAULT '', ADD COLUMN "expires_at" bigint NOT NULL DEFAULT 0, ADD COLUMN "token_expires_at" bigint NOT NULL DEFAULT 0, ADD COLUMN "refused_at" bigint NOT NULL DEFAULT 0, ADD COLUMN "refused_reason" text NOT NULL DEFAULT '', ADD COLUMN "renewer" character varying NOT NULL DEFAULT '', ADD COLUMN "renewer_until" bigint NOT NULL DEFAULT 0;
-- Modify "schedules" table
ALTER TABLE "schedules" ADD COLUMN "trees" text NOT NULL DEFAULT '';
