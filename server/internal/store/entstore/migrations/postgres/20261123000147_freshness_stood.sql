-- Create index "deliveries_open" to table: "deliveries"
CREATE INDEX "deliveries_open" ON "deliveries" ("webhook_id") WHERE (next_at > 0);
-- Modify "job_freshnesses" table
ALTER TABLE "job_freshnesses" ADD COLUMN "stood" bigint NOT NULL DEFAULT 0;
