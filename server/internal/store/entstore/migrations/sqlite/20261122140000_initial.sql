-- Create "active_executions" table
CREATE TABLE `active_executions` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `job_id` integer NOT NULL, `instance_id` integer NOT NULL, `trigger` text NOT NULL, `trigger_id` text NOT NULL, `scheduled_for` integer NOT NULL, `not_before` integer NOT NULL, `waits` bool NOT NULL, `created_at` integer NOT NULL, `owner` integer NOT NULL, `state` text NOT NULL, `attempt` integer NOT NULL, `fence` integer NOT NULL, `first_started_at` integer NOT NULL, `started_at` integer NOT NULL, `error` text NOT NULL, `tasks` text NOT NULL, `log_bytes` integer NOT NULL);
-- Create index "active_executions_once" to table: "active_executions"
CREATE UNIQUE INDEX `active_executions_once` ON `active_executions` (`job_id`, `scheduled_for`, `trigger_id`);
-- Create index "active_executions_waiting" to table: "active_executions"
CREATE INDEX `active_executions_waiting` ON `active_executions` (`not_before`) WHERE (owner = 0);
-- Create "client_instances" table
CREATE TABLE `client_instances` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `instance_id` integer NOT NULL, `client_id` integer NOT NULL, CONSTRAINT `client_instances_instances_links` FOREIGN KEY (`instance_id`) REFERENCES `instances` (`id`) ON DELETE CASCADE, CONSTRAINT `client_instances_clients_links` FOREIGN KEY (`client_id`) REFERENCES `clients` (`id`) ON DELETE CASCADE);
-- Create index "clientinstance_client_id_instance_id" to table: "client_instances"
CREATE UNIQUE INDEX `clientinstance_client_id_instance_id` ON `client_instances` (`client_id`, `instance_id`);
-- Create "executions" table
CREATE TABLE `executions` (`id` integer NOT NULL, `job_id` integer NOT NULL, `instance_id` integer NOT NULL, `trigger` text NOT NULL, `trigger_id` text NOT NULL, `scheduled_for` integer NOT NULL, `created_at` integer NOT NULL, `started_at` integer NOT NULL, `finished_at` integer NOT NULL, `state` text NOT NULL, `attempt` integer NOT NULL, `fence` integer NOT NULL, `error` text NOT NULL, `tasks` text NOT NULL, `log_bytes` integer NOT NULL, PRIMARY KEY (`id`));
-- Create index "executions_once" to table: "executions"
CREATE UNIQUE INDEX `executions_once` ON `executions` (`job_id`, `scheduled_for`, `trigger_id`);
-- Create index "execution_job_id_id" to table: "executions"
CREATE INDEX `execution_job_id_id` ON `executions` (`job_id`, `id`);
-- Create index "execution_instance_id_id" to table: "executions"
CREATE INDEX `execution_instance_id_id` ON `executions` (`instance_id`, `id`);
-- Create "instances" table
CREATE TABLE `instances` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `title` text NOT NULL, `description` text NOT NULL, `created_at` integer NOT NULL);
-- Create "jobs" table
CREATE TABLE `jobs` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `name` text NOT NULL, `description` text NOT NULL, `workflow` text NOT NULL, `labels` json NULL, `version` integer NOT NULL, `created_at` integer NOT NULL, `updated_at` integer NOT NULL, `instance_id` integer NOT NULL, CONSTRAINT `jobs_instances_jobs` FOREIGN KEY (`instance_id`) REFERENCES `instances` (`id`) ON DELETE RESTRICT);
-- Create index "job_instance_id_id" to table: "jobs"
CREATE INDEX `job_instance_id_id` ON `jobs` (`instance_id`, `id`);
-- Create "job_resources" table
CREATE TABLE `job_resources` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `job_id` integer NOT NULL, `resource_id` integer NOT NULL, CONSTRAINT `job_resources_jobs_uses` FOREIGN KEY (`job_id`) REFERENCES `jobs` (`id`) ON DELETE CASCADE, CONSTRAINT `job_resources_resources_uses` FOREIGN KEY (`resource_id`) REFERENCES `resources` (`id`) ON DELETE RESTRICT);
-- Create index "jobresource_job_id_resource_id" to table: "job_resources"
CREATE UNIQUE INDEX `jobresource_job_id_resource_id` ON `job_resources` (`job_id`, `resource_id`);
-- Create index "jobresource_resource_id" to table: "job_resources"
CREATE INDEX `jobresource_resource_id` ON `job_resources` (`resource_id`);
-- Create "replicas" table
CREATE TABLE `replicas` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `name` text NOT NULL, `session` text NOT NULL, `role` text NOT NULL, `started_at` integer NOT NULL, `lease_until` integer NOT NULL);
-- Create "request_keys" table
CREATE TABLE `request_keys` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `key` text NOT NULL, `digest` text NOT NULL, `object_id` integer NOT NULL, `created_at` integer NOT NULL);
-- Create index "request_keys_key_key" to table: "request_keys"
CREATE UNIQUE INDEX `request_keys_key_key` ON `request_keys` (`key`);
-- Create index "requestkey_created_at" to table: "request_keys"
CREATE INDEX `requestkey_created_at` ON `request_keys` (`created_at`);
-- Create "resources" table
CREATE TABLE `resources` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `title` text NOT NULL, `description` text NOT NULL, `created_at` integer NOT NULL, `instance_id` integer NOT NULL, CONSTRAINT `resources_instances_resources` FOREIGN KEY (`instance_id`) REFERENCES `instances` (`id`) ON DELETE RESTRICT);
-- Create index "resource_instance_id_id" to table: "resources"
CREATE INDEX `resource_instance_id_id` ON `resources` (`instance_id`, `id`);
-- Create "resource_configs" table
CREATE TABLE `resource_configs` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `name` text NOT NULL, `type` text NOT NULL, `keys` json NOT NULL, `version` integer NOT NULL, `key_id` integer NOT NULL, `ciphertext` blob NOT NULL, `updated_at` integer NOT NULL, `resource_id` integer NOT NULL, CONSTRAINT `resource_configs_resources_configs` FOREIGN KEY (`resource_id`) REFERENCES `resources` (`id`) ON DELETE CASCADE);
-- Create index "resourceconfig_resource_id_name" to table: "resource_configs"
CREATE UNIQUE INDEX `resourceconfig_resource_id_name` ON `resource_configs` (`resource_id`, `name`);
-- Create index "resourceconfig_key_id" to table: "resource_configs"
CREATE INDEX `resourceconfig_key_id` ON `resource_configs` (`key_id`);
-- Create "schedules" table
CREATE TABLE `schedules` (`id` integer NOT NULL, `instance_id` integer NOT NULL, `active` bool NOT NULL, `next_run` integer NOT NULL, `type` text NOT NULL, `cron` text NOT NULL, `minutes` integer NOT NULL, `time_zone` text NOT NULL, `anchor` integer NOT NULL, `policies` text NOT NULL, `version` integer NOT NULL, `fence` integer NOT NULL DEFAULT (0), `paused_at` integer NOT NULL DEFAULT (0), `skip_id` integer NOT NULL DEFAULT (0), PRIMARY KEY (`id`));
-- Create index "schedules_due" to table: "schedules"
CREATE INDEX `schedules_due` ON `schedules` (`next_run`) WHERE (next_run > 0);
-- Create "clients" table
CREATE TABLE `clients` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `title` text NOT NULL, `scopes` json NOT NULL, `secret_hash` blob NOT NULL, `secret_version` integer NOT NULL, `created_at` integer NOT NULL);
-- Create "signing_keys" table
CREATE TABLE `signing_keys` (`id` text NOT NULL, `purpose` text NOT NULL, `slot` text NOT NULL, `public` blob NOT NULL, `key_id` integer NOT NULL, `sealed` blob NOT NULL, `created_at` integer NOT NULL, PRIMARY KEY (`id`));
-- Create index "signing_keys_slot_key" to table: "signing_keys"
CREATE UNIQUE INDEX `signing_keys_slot_key` ON `signing_keys` (`slot`);
-- Create "skips" table
CREATE TABLE `skips` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `job_id` integer NOT NULL, `instance_id` integer NOT NULL, `reason` text NOT NULL, `first` integer NOT NULL, `last` integer NOT NULL, `count` integer NOT NULL, `blocked_by` integer NOT NULL);
-- Create index "skip_job_id_last" to table: "skips"
CREATE INDEX `skip_job_id_last` ON `skips` (`job_id`, `last`);
-- Create index "skip_last" to table: "skips"
CREATE INDEX `skip_last` ON `skips` (`last`);
