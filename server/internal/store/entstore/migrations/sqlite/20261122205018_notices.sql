-- Create index "jobs_paused_by_system" to table: "jobs"
CREATE INDEX `jobs_paused_by_system` ON `jobs` (`instance_id`) WHERE pause_actor = 'system';
-- Create "deliveries" table
CREATE TABLE `deliveries` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `notice_id` integer NOT NULL, `webhook_id` integer NOT NULL, `instance_id` integer NOT NULL, `job_id` integer NOT NULL, `event` text NOT NULL, `state` text NOT NULL, `created_at` integer NOT NULL, `next_at` integer NOT NULL, `fence` integer NOT NULL, `tries` integer NOT NULL, `finished_at` integer NOT NULL, `attempts` text NOT NULL);
-- Create index "delivery_webhook_id_notice_id" to table: "deliveries"
CREATE UNIQUE INDEX `delivery_webhook_id_notice_id` ON `deliveries` (`webhook_id`, `notice_id`);
-- Create index "delivery_notice_id" to table: "deliveries"
CREATE INDEX `delivery_notice_id` ON `deliveries` (`notice_id`);
-- Create index "delivery_instance_id_id" to table: "deliveries"
CREATE INDEX `delivery_instance_id_id` ON `deliveries` (`instance_id`, `id`);
-- Create index "deliveries_due" to table: "deliveries"
CREATE INDEX `deliveries_due` ON `deliveries` (`next_at`) WHERE (next_at > 0);
-- Create "job_freshnesses" table
CREATE TABLE `job_freshnesses` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `instance_id` integer NOT NULL, `webhook_id` integer NOT NULL, `job_id` integer NOT NULL, `since` integer NOT NULL, `due` integer NOT NULL, `stale` bool NOT NULL);
-- Create index "jobfreshness_webhook_id_job_id" to table: "job_freshnesses"
CREATE UNIQUE INDEX `jobfreshness_webhook_id_job_id` ON `job_freshnesses` (`webhook_id`, `job_id`);
-- Create index "jobfreshness_job_id" to table: "job_freshnesses"
CREATE INDEX `jobfreshness_job_id` ON `job_freshnesses` (`job_id`);
-- Create index "job_freshness_due" to table: "job_freshnesses"
CREATE INDEX `job_freshness_due` ON `job_freshnesses` (`instance_id`, `due`) WHERE (due > 0);
-- Create "job_streaks" table
CREATE TABLE `job_streaks` (`id` integer NOT NULL, `instance_id` integer NOT NULL, `failures` integer NOT NULL, PRIMARY KEY (`id`));
-- Create index "jobstreak_instance_id" to table: "job_streaks"
CREATE INDEX `jobstreak_instance_id` ON `job_streaks` (`instance_id`);
-- Create "notices" table
CREATE TABLE `notices` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `instance_id` integer NOT NULL, `key` text NOT NULL, `event` text NOT NULL, `job_id` integer NOT NULL, `execution_id` integer NOT NULL, `created_at` integer NOT NULL, `body` text NOT NULL);
-- Create index "notices_key_key" to table: "notices"
CREATE UNIQUE INDEX `notices_key_key` ON `notices` (`key`);
-- Create index "notice_created_at" to table: "notices"
CREATE INDEX `notice_created_at` ON `notices` (`created_at`);
-- Create "notice_feeds" table
CREATE TABLE `notice_feeds` (`id` integer NOT NULL, `version` integer NOT NULL, `floor` integer NOT NULL, `position` text NOT NULL, `jobs_seen` integer NOT NULL, `looked_at` integer NOT NULL, PRIMARY KEY (`id`));
-- Create "webhooks" table
CREATE TABLE `webhooks` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `instance_id` integer NOT NULL, `url` text NOT NULL, `description` text NOT NULL, `hears` text NOT NULL, `enabled` bool NOT NULL, `disabled_reason` text NOT NULL DEFAULT (''), `version` integer NOT NULL, `created_at` integer NOT NULL, `updated_at` integer NOT NULL, `heard_since` integer NOT NULL, `secret_version` integer NOT NULL, `previous_until` integer NOT NULL DEFAULT (0), `key_id` integer NOT NULL, `ciphertext` blob NOT NULL);
-- Create index "webhook_instance_id_id" to table: "webhooks"
CREATE INDEX `webhook_instance_id_id` ON `webhooks` (`instance_id`, `id`);
-- Create index "webhook_key_id" to table: "webhooks"
CREATE INDEX `webhook_key_id` ON `webhooks` (`key_id`);
