package harness

// operation is how GraphQL offers an RPC. Its arguments and what it answers
// are asked of the server, so that whatever GraphQL offers is compared.
type operation struct {
	// field is the root field.
	field string
	// paths are where arguments stand in the RPC's request, unless under their
	// own name or inside of its resource.
	paths map[string]string
	// list names the RPC's list that a page's items stand for; bare says that
	// the root field is the list itself.
	list string
	bare bool
	// empty says that the RPC answers nothing where GraphQL says success.
	empty bool
}

// resources are the fields of requests that hold a resource.
var resources = []string{"job", "instance", "resource", "client", "limits", "webhook"}

var history = map[string]string{"jobHistoryId": "executionId"}

// operations are the RPCs that GraphQL offers, by name.
var operations = map[string]operation{
	"CreateJob":       {field: "createScheduledJob"},
	"UpdateJob":       {field: "updateScheduledJob", paths: map[string]string{"jobId": "job.id"}},
	"DeleteJob":       {field: "deleteScheduledJob", empty: true},
	"PauseJob":        {field: "pauseScheduledJob"},
	"ResumeJob":       {field: "resumeScheduledJob"},
	"RunJob":          {field: "runScheduledJob"},
	"GetJob":          {field: "getScheduledJob"},
	"ListJobs":        {field: "getScheduledJobs", list: "jobs", bare: true},
	"ListOccurrences": {field: "getJobOccurrences", list: "occurrences"},
	"PreviewSchedule": {field: "previewSchedule"},
	"ExplainJob":      {field: "explainJob"},

	"SkipOccurrence":    {field: "skipOccurrence"},
	"MoveOccurrence":    {field: "moveOccurrence"},
	"RestoreOccurrence": {field: "restoreOccurrence"},
	"BackfillJob":       {field: "backfillJob"},
	"GetBackfill":       {field: "getBackfill"},
	"CancelBackfill":    {field: "cancelBackfill"},

	"GetExecution":       {field: "getScheduledJobHistory", paths: history},
	"PlanJob":            {field: "planJob"},
	"ApproveExecution":   {field: "approveScheduledJobRun", paths: history},
	"RejectExecution":    {field: "rejectScheduledJobRun", paths: history},
	"ListExecutionFiles": {field: "getExecutionFiles", paths: history, list: "files"},
	"CancelExecution":    {field: "cancelScheduledJobRun", paths: history},
	// Those of an instance; those of a job are getJobHistory.
	"ListExecutions": {field: "getInstanceJobHistory", list: "executions"},
	"TailLog":        {field: "getJobLog", paths: history, list: "lines"},

	"CreateWebhook":       {field: "createWebhook"},
	"GetWebhook":          {field: "getWebhook"},
	"ListWebhooks":        {field: "getWebhooks", list: "webhooks"},
	"UpdateWebhook":       {field: "updateWebhook", paths: map[string]string{"webhookId": "webhook.id"}},
	"DeleteWebhook":       {field: "deleteWebhook", empty: true},
	"RotateWebhookSecret": {field: "rotateWebhookSecret"},
	"TestWebhook":         {field: "testWebhook"},
	"ListDeliveries":      {field: "getDeliveries", list: "deliveries"},
	"GetDelivery":         {field: "getDelivery"},
	"RedeliverNotice":     {field: "redeliverNotice"},

	"ListTaskTypes":   {field: "getTaskTypes", list: "taskTypes"},
	"ListRemoteTypes": {field: "getRemoteTypes", list: "remoteTypes"},

	"AddConfig":    {field: "addJobConfig"},
	"GetConfig":    {field: "getJobConfig"},
	"TestConfig":   {field: "testJobConfig"},
	"DeleteConfig": {field: "deleteJobConfig", empty: true},

	"CreateInstance": {field: "createInstance"},
	"GetInstance":    {field: "getInstance"},
	"ListInstances":  {field: "getInstances", list: "instances"},
	"DeleteInstance": {field: "deleteInstance", empty: true},
	"PauseInstance":  {field: "pauseInstance"},
	"ResumeInstance": {field: "resumeInstance"},
	"GetQuota":       {field: "getQuota"},
	"SetQuota":       {field: "setQuota"},
	"CreateResource": {field: "createResource"},
	"GetResource":    {field: "getResource"},
	"ListResources":  {field: "getResources", list: "resources"},
	"DeleteResource": {field: "deleteResource", empty: true},

	"CreateClient":      {field: "createClient"},
	"ListClients":       {field: "getClients", list: "clients"},
	"DeleteClient":      {field: "deleteClient", empty: true},
	"ResetClientSecret": {field: "resetClientSecret"},

	"ListKeys":         {field: "getKeys"},
	"AddKey":           {field: "addKey"},
	"PromoteKey":       {field: "promoteKey"},
	"RewrapKeys":       {field: "rewrapKeys"},
	"DisableKey":       {field: "disableKey"},
	"DestroyKey":       {field: "destroyKey"},
	"ListSigningKeys":  {field: "getSigningKeys"},
	"RotateSigningKey": {field: "rotateSigningKey"},
	"ListAuditEvents":  {field: "getAuditEvents", list: "events"},
}
