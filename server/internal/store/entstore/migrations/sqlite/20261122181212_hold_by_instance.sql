-- Jobs that were held come due where the pause began; the ticker tells it as the instance's
UPDATE `schedules` SET next_run = CASE WHEN active THEN held_at + 1 ELSE paused_until END WHERE held_at > 0;
-- Disable the enforcement of foreign-keys constraints
PRAGMA foreign_keys = off;
-- Create "new_schedules" table
CREATE TABLE `new_schedules` (`id` integer NOT NULL, `instance_id` integer NOT NULL, `active` bool NOT NULL, `next_run` integer NOT NULL, `type` text NOT NULL, `cron` text NOT NULL, `minutes` integer NOT NULL, `time_zone` text NOT NULL, `anchor` integer NOT NULL, `policies` text NOT NULL, `version` integer NOT NULL, `fence` integer NOT NULL DEFAULT (0), `paused_at` integer NOT NULL DEFAULT (0), `extras` text NOT NULL DEFAULT (''), `priority` integer NOT NULL DEFAULT (0), `started` integer NOT NULL DEFAULT (0), `failures` integer NOT NULL DEFAULT (0), `paused_until` integer NOT NULL DEFAULT (0), `skip_id` integer NOT NULL DEFAULT (0), `trees` text NOT NULL DEFAULT (''), PRIMARY KEY (`id`));
-- Copy rows from old table "schedules" to new temporary table "new_schedules"
INSERT INTO `new_schedules` (`id`, `instance_id`, `active`, `next_run`, `type`, `cron`, `minutes`, `time_zone`, `anchor`, `policies`, `version`, `fence`, `paused_at`, `extras`, `priority`, `started`, `failures`, `paused_until`, `skip_id`, `trees`) SELECT `id`, `instance_id`, `active`, `next_run`, `type`, `cron`, `minutes`, `time_zone`, `anchor`, `policies`, `version`, `fence`, `paused_at`, `extras`, `priority`, `started`, `failures`, `paused_until`, `skip_id`, `trees` FROM `schedules`;
-- Drop "schedules" table after copying rows
DROP TABLE `schedules`;
-- Rename temporary table "new_schedules" to "schedules"
ALTER TABLE `new_schedules` RENAME TO `schedules`;
-- Create index "schedules_due" to table: "schedules"
CREATE INDEX `schedules_due` ON `schedules` (`next_run`) WHERE (next_run > 0);
-- Create index "schedules_turns" to table: "schedules"
CREATE INDEX `schedules_turns` ON `schedules` (`instance_id`, `next_run`) WHERE (next_run > 0);
-- Enable back the enforcement of foreign-keys constraints
PRAGMA foreign_keys = on;
