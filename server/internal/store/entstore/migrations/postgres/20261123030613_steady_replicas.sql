-- Modify "replicas" table
ALTER TABLE "replicas" ADD COLUMN "steady_since" bigint NOT NULL DEFAULT 0;
