-- Drop index "schedules_turns" from table: "schedules"
DROP INDEX "schedules_turns";
-- Create index "schedules_turns" to table: "schedules"
CREATE INDEX "schedules_turns" ON "schedules" ("instance_id", "priority", "next_run") WHERE (next_run > 0);
