-- Add column "quota" to table: "instances"
ALTER TABLE `instances` ADD COLUMN `quota` text NOT NULL DEFAULT ('');
-- Create "audit_events" table
CREATE TABLE `audit_events` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `at` integer NOT NULL, `actor` text NOT NULL, `token_id` text NOT NULL, `scopes` text NOT NULL, `method` text NOT NULL, `object` text NOT NULL, `instance_id` integer NOT NULL, `peer` text NOT NULL, `request_id` text NOT NULL, `code` text NOT NULL, `details` json NULL);
-- Create index "auditevent_instance_id_id" to table: "audit_events"
CREATE INDEX `auditevent_instance_id_id` ON `audit_events` (`instance_id`, `id`);
-- Create index "auditevent_actor_id" to table: "audit_events"
CREATE INDEX `auditevent_actor_id` ON `audit_events` (`actor`, `id`);
-- Create index "auditevent_object_id" to table: "audit_events"
CREATE INDEX `auditevent_object_id` ON `audit_events` (`object`, `id`);
-- Create index "auditevent_at" to table: "audit_events"
CREATE INDEX `auditevent_at` ON `audit_events` (`at`);
-- Create "instance_hours" table
CREATE TABLE `instance_hours` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `instance_id` integer NOT NULL, `hour` integer NOT NULL, `executions` integer NOT NULL);
-- Create index "instancehour_instance_id_hour" to table: "instance_hours"
CREATE UNIQUE INDEX `instancehour_instance_id_hour` ON `instance_hours` (`instance_id`, `hour`);
-- Create index "instancehour_hour" to table: "instance_hours"
CREATE INDEX `instancehour_hour` ON `instance_hours` (`hour`);
