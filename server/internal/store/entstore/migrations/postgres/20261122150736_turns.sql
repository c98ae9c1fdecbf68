-- Create index "schedules_turns" to table: "schedules"
CREATE INDEX "schedules_turns" ON "schedules" ("instance_id", "next_run") WHERE (next_run > 0);
