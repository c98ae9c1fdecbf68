-- Columns are added, not tables copied: a copy would lose the sequences that
-- keep identifiers from being given twice.
ALTER TABLE `active_executions` ADD COLUMN `trees` text NOT NULL DEFAULT ('');
ALTER TABLE `active_executions` ADD COLUMN `waiting_for` integer NOT NULL DEFAULT (0);
-- Create index "active_executions_trees" to table: "active_executions"
CREATE INDEX `active_executions_trees` ON `active_executions` (`id`) WHERE (length(trees) > 0);
ALTER TABLE `jobs` ADD COLUMN `pause_reauth` bool NOT NULL DEFAULT (false);
ALTER TABLE `resource_configs` ADD COLUMN `account` text NOT NULL DEFAULT ('');
ALTER TABLE `resource_configs` ADD COLUMN `expires_at` integer NOT NULL DEFAULT (0);
ALTER TABLE `resource_configs` ADD COLUMN `token_expires_at` integer NOT NULL DEFAULT (0);
ALTER TABLE `resource_configs` ADD COLUMN `refused_at` integer NOT NULL DEFAULT (0);
ALTER TABLE `resource_configs` ADD COLUMN `refused_reason` text NOT NULL DEFAULT ('');
ALTER TABLE `resource_configs` ADD COLUMN `renewer` text NOT NULL DEFAULT ('');
ALTER TABLE `resource_configs` ADD COLUMN `renewer_until` integer NOT NULL DEFAULT (0);
ALTER TABLE `schedules` ADD COLUMN `trees` text NOT NULL DEFAULT ('');
