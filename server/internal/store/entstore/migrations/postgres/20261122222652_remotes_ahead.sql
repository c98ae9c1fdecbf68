-- Create index "resource_configs_expiring" to table: "resource_configs"
CREATE INDEX "resource_configs_expiring" ON "resource_configs" ("expires_at") WHERE (expires_at > 0);
-- Create index "resource_configs_refused" to table: "resource_configs"
CREATE INDEX "resource_configs_refused" ON "resource_configs" ("refused_at") WHERE (refused_at > 0);
