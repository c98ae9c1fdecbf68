-- Disable the enforcement of foreign-keys constraints
PRAGMA foreign_keys = off;
-- Create index "deliveries_open" to table: "deliveries"
CREATE INDEX `deliveries_open` ON `deliveries` (`webhook_id`) WHERE (next_at > 0);
-- Create "new_job_freshnesses" table
CREATE TABLE `new_job_freshnesses` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `instance_id` integer NOT NULL, `webhook_id` integer NOT NULL, `job_id` integer NOT NULL, `since` integer NOT NULL, `stood` integer NOT NULL DEFAULT (0), `due` integer NOT NULL, `stale` bool NOT NULL);
-- Copy rows from old table "job_freshnesses" to new temporary table "new_job_freshnesses"
INSERT INTO `new_job_freshnesses` (`id`, `instance_id`, `webhook_id`, `job_id`, `since`, `due`, `stale`) SELECT `id`, `instance_id`, `webhook_id`, `job_id`, `since`, `due`, `stale` FROM `job_freshnesses`;
-- Drop "job_freshnesses" table after copying rows
DROP TABLE `job_freshnesses`;
-- Rename temporary table "new_job_freshnesses" to "job_freshnesses"
ALTER TABLE `new_job_freshnesses` RENAME TO `job_freshnesses`;
-- Create index "jobfreshness_webhook_id_job_id" to table: "job_freshnesses"
CREATE UNIQUE INDEX `jobfreshness_webhook_id_job_id` ON `job_freshnesses` (`webhook_id`, `job_id`);
-- Create index "jobfreshness_job_id" to table: "job_freshnesses"
CREATE INDEX `jobfreshness_job_id` ON `job_freshnesses` (`job_id`);
-- Create index "job_freshness_due" to table: "job_freshnesses"
CREATE INDEX `job_freshness_due` ON `job_freshnesses` (`instance_id`, `due`) WHERE (due > 0);
-- Enable back the enforcement of foreign-keys constraints
PRAGMA foreign_keys = on;
