-- Disable the enforcement of foreign-keys constraints
PRAGMA foreign_keys = off;
-- Create "new_signing_keys" table
CREATE TABLE `new_signing_keys` (`id` text NOT NULL, `purpose` text NOT NULL, `slot` text NOT NULL, `public` blob NOT NULL, `key_id` integer NOT NULL, `sealed` blob NOT NULL, `created_at` integer NOT NULL, `active_at` integer NOT NULL DEFAULT (0), `retires_at` integer NOT NULL DEFAULT (0), PRIMARY KEY (`id`));
-- Copy rows from old table "signing_keys" to new temporary table "new_signing_keys"
INSERT INTO `new_signing_keys` (`id`, `purpose`, `slot`, `public`, `key_id`, `sealed`, `created_at`) SELECT `id`, `purpose`, `slot`, `public`, `key_id`, `sealed`, `created_at` FROM `signing_keys`;
-- Drop "signing_keys" table after copying rows
DROP TABLE `signing_keys`;
-- Rename temporary table "new_signing_keys" to "signing_keys"
ALTER TABLE `new_signing_keys` RENAME TO `signing_keys`;
-- Create index "signing_keys_slot_key" to table: "signing_keys"
CREATE UNIQUE INDEX `signing_keys_slot_key` ON `signing_keys` (`slot`);
-- Create "key_holders" table
CREATE TABLE `key_holders` (`id` text NOT NULL, `name` text NOT NULL, `keys` json NOT NULL, `primary_key` integer NOT NULL, `lives_until` integer NOT NULL, PRIMARY KEY (`id`));
-- Create "sealing_keys" table
CREATE TABLE `sealing_keys` (`id` integer NOT NULL, `state` text NOT NULL, `created_at` integer NOT NULL, `changed_at` integer NOT NULL, PRIMARY KEY (`id`));
-- Enable back the enforcement of foreign-keys constraints
PRAGMA foreign_keys = on;
