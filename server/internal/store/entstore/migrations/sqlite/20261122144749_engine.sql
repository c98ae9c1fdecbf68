-- Disable the enforcement of foreign-keys constraints
PRAGMA foreign_keys = off;
-- Create "new_instances" table
CREATE TABLE `new_instances` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `title` text NOT NULL, `description` text NOT NULL, `created_at` integer NOT NULL, `paused_at` integer NOT NULL DEFAULT (0), `paused_until` integer NOT NULL DEFAULT (0), `pause_reason` text NOT NULL DEFAULT (''), `pause_actor` text NOT NULL DEFAULT (''));
-- Copy rows from old table "instances" to new temporary table "new_instances"
INSERT INTO `new_instances` (`id`, `title`, `description`, `created_at`) SELECT `id`, `title`, `description`, `created_at` FROM `instances`;
-- Drop "instances" table after copying rows
DROP TABLE `instances`;
-- Rename temporary table "new_instances" to "instances"
ALTER TABLE `new_instances` RENAME TO `instances`;
-- Create "new_jobs" table
CREATE TABLE `new_jobs` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `name` text NOT NULL, `description` text NOT NULL, `workflow` text NOT NULL, `labels` json NULL, `version` integer NOT NULL, `created_at` integer NOT NULL, `updated_at` integer NOT NULL, `pause_reason` text NOT NULL DEFAULT (''), `pause_actor` text NOT NULL DEFAULT (''), `instance_id` integer NOT NULL, CONSTRAINT `jobs_instances_jobs` FOREIGN KEY (`instance_id`) REFERENCES `instances` (`id`) ON DELETE RESTRICT);
-- Copy rows from old table "jobs" to new temporary table "new_jobs"
INSERT INTO `new_jobs` (`id`, `name`, `description`, `workflow`, `labels`, `version`, `created_at`, `updated_at`, `instance_id`) SELECT `id`, `name`, `description`, `workflow`, `labels`, `version`, `created_at`, `updated_at`, `instance_id` FROM `jobs`;
-- Drop "jobs" table after copying rows
DROP TABLE `jobs`;
-- Rename temporary table "new_jobs" to "jobs"
ALTER TABLE `new_jobs` RENAME TO `jobs`;
-- Create index "job_instance_id_id" to table: "jobs"
CREATE INDEX `job_instance_id_id` ON `jobs` (`instance_id`, `id`);
-- Create "new_schedules" table
CREATE TABLE `new_schedules` (`id` integer NOT NULL, `instance_id` integer NOT NULL, `active` bool NOT NULL, `next_run` integer NOT NULL, `type` text NOT NULL, `cron` text NOT NULL, `minutes` integer NOT NULL, `time_zone` text NOT NULL, `anchor` integer NOT NULL, `policies` text NOT NULL, `version` integer NOT NULL, `fence` integer NOT NULL DEFAULT (0), `paused_at` integer NOT NULL DEFAULT (0), `extras` text NOT NULL DEFAULT (''), `priority` integer NOT NULL DEFAULT (0), `started` integer NOT NULL DEFAULT (0), `failures` integer NOT NULL DEFAULT (0), `paused_until` integer NOT NULL DEFAULT (0), `held_at` integer NOT NULL DEFAULT (0), `skip_id` integer NOT NULL DEFAULT (0), PRIMARY KEY (`id`));
-- Copy rows from old table "schedules" to new temporary table "new_schedules"
INSERT INTO `new_schedules` (`id`, `instance_id`, `active`, `next_run`, `type`, `cron`, `minutes`, `time_zone`, `anchor`, `policies`, `version`, `fence`, `paused_at`, `skip_id`) SELECT `id`, `instance_id`, `active`, `next_run`, `type`, `cron`, `minutes`, `time_zone`, `anchor`, `policies`, `version`, `fence`, `paused_at`, `skip_id` FROM `schedules`;
-- Drop "schedules" table after copying rows
DROP TABLE `schedules`;
-- Rename temporary table "new_schedules" to "schedules"
ALTER TABLE `new_schedules` RENAME TO `schedules`;
-- Create index "schedules_due" to table: "schedules"
CREATE INDEX `schedules_due` ON `schedules` (`next_run`) WHERE (next_run > 0);
-- Create "backfills" table
CREATE TABLE `backfills` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `job_id` integer NOT NULL, `instance_id` integer NOT NULL, `range_from` integer NOT NULL, `range_to` integer NOT NULL, `concurrency` integer NOT NULL, `overlap` text NOT NULL, `state` text NOT NULL, `total` integer NOT NULL, `started` integer NOT NULL, `cursor` integer NOT NULL, `created_at` integer NOT NULL, `finished_at` integer NOT NULL);
-- Create index "backfills_open" to table: "backfills"
CREATE INDEX `backfills_open` ON `backfills` (`id`) WHERE (finished_at = 0);
-- Create index "backfill_job_id" to table: "backfills"
CREATE INDEX `backfill_job_id` ON `backfills` (`job_id`);
-- Create "occurrence_changes" table
CREATE TABLE `occurrence_changes` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `job_id` integer NOT NULL, `slot` integer NOT NULL, `move_to` integer NOT NULL);
-- Create index "occurrencechange_job_id_slot" to table: "occurrence_changes"
CREATE UNIQUE INDEX `occurrencechange_job_id_slot` ON `occurrence_changes` (`job_id`, `slot`);
-- Enable back the enforcement of foreign-keys constraints
PRAGMA foreign_keys = on;
