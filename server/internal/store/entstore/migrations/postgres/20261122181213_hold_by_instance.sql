-- Jobs that were held come due where the pause began; the ticker tells it as the instance's
UPDATE "schedules" SET next_run = CASE WHEN active THEN held_at + 1 ELSE paused_until END WHERE held_at > 0;
-- Modify "schedules" table
ALTER TABLE "schedules" DROP COLUMN "held_at";
