-- Add column "steady_since" to table: "replicas"
ALTER TABLE `replicas` ADD COLUMN `steady_since` integer NOT NULL DEFAULT (0);
