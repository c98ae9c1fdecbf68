-- Create "approvals" table
CREATE TABLE `approvals` (`id` integer NOT NULL, `attempt` integer NOT NULL, `state` text NOT NULL, `digest` text NOT NULL, `plans` text NOT NULL, `snapshot` text NOT NULL, `requested_at` integer NOT NULL, `expires_at` integer NOT NULL, `decided_by` text NOT NULL, `decided_at` integer NOT NULL, PRIMARY KEY (`id`));
-- Create "execution_files" table
CREATE TABLE `execution_files` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `execution_id` integer NOT NULL, `attempt` integer NOT NULL, `task` text NOT NULL, `remote` text NOT NULL, `action` text NOT NULL, `state` text NOT NULL, `path` text NOT NULL, `size` integer NOT NULL, `reason` text NOT NULL, `message` text NOT NULL, `at` integer NOT NULL);
-- Create index "executionfile_execution_id_id" to table: "execution_files"
CREATE INDEX `executionfile_execution_id_id` ON `execution_files` (`execution_id`, `id`);
-- Create "file_announcements" table
CREATE TABLE `file_announcements` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `execution_id` integer NOT NULL, `files` text NOT NULL);
-- Create index "fileannouncement_execution_id" to table: "file_announcements"
CREATE INDEX `fileannouncement_execution_id` ON `file_announcements` (`execution_id`);
-- Create "job_memories" table
CREATE TABLE `job_memories` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `job_id` integer NOT NULL, `key` text NOT NULL, `value` blob NOT NULL);
-- Create index "jobmemory_job_id_key" to table: "job_memories"
CREATE UNIQUE INDEX `jobmemory_job_id_key` ON `job_memories` (`job_id`, `key`);
