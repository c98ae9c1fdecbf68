-- Modify "jobs" table
ALTER TABLE "jobs" ADD COLUMN "managed_by" character varying NOT NULL DEFAULT '';
-- Create index "job_instance_id_managed_by_name" to table: "jobs"
CREATE UNIQUE INDEX "job_instance_id_managed_by_name" ON "jobs" ("instance_id", "managed_by", "name") WHERE ((managed_by)::text <> ''::text);
