package tests

import (
	"strings"

	"github.com/pointscene/carillon/tests/harness"
)

// right is what a call needs on the tenant, or what a token has.
type right struct {
	// instance and resource are "", "read" or "write"; the first implies the
	// second.
	instance, resource string
	create, operator   bool
	// any is for calls that need no more than a token.
	any bool
}

// guarded is one RPC with what it needs.
type guarded struct {
	rpc     string
	needs   right
	request object
}

// The first of their kinds on a server; whoever asks every call makes them.
const theWebhook, theDelivery = "webhook_1", "delivery_1"

// everyCall is every RPC. Whoever may make the call gets an answer or is told
// what is wrong with it; nobody gets to change the tenant.
func everyCall(n *harness.Tenant, job, execution, backfill string) []guarded {
	wrong := object{"tasks": []any{}}
	const past, later = "2000-01-01T00:00:00Z", "2000-01-02T00:00:00Z"
	return []guarded{
		{"GetInstance", right{instance: "read"}, object{"instanceId": n.Instance}},
		{"DeleteInstance", right{instance: "write"}, object{"instanceId": n.Instance}},
		{"CreateResource", right{instance: "write"}, object{"instanceId": n.Instance, "resource": object{"title": strings.Repeat("x", 201)}}},
		{"ListResources", right{instance: "read"}, object{"instanceId": n.Instance}},
		{"GetResource", right{resource: "read"}, object{"resourceId": n.Resource}},
		{"DeleteResource", right{resource: "write"}, object{"resourceId": n.Resource}},
		{"AddConfig", right{resource: "write"}, object{"resourceId": n.Resource, "config": object{"x": object{"type": "none"}}}},
		{"TestConfig", right{resource: "write"}, object{"resourceId": n.Resource, "config": object{"x": object{"type": "none"}}}},
		{"GetConfig", right{resource: "read"}, object{"resourceId": n.Resource}},
		{"DeleteConfig", right{resource: "write"}, object{"resourceId": n.Resource}},
		{"CreateJob", right{instance: "write"}, object{"instanceId": n.Instance, "job": object{"frequencyType": "MANUAL", "workflow": wrong}}},
		{"ListJobs", right{instance: "read"}, object{"instanceId": n.Instance}},
		{"GetJob", right{instance: "read"}, object{"jobId": job}},
		{"UpdateJob", right{instance: "write"}, object{"job": object{"id": job, "instanceId": n.Instance, "workflow": wrong}}},
		{"DeleteJob", right{instance: "write"}, object{"jobId": job, "etag": `"stale"`}},
		{"PauseJob", right{instance: "write"}, object{"jobId": job, "etag": `"stale"`}},
		{"ResumeJob", right{instance: "write"}, object{"jobId": job, "etag": `"stale"`}},
		{"RunJob", right{instance: "write"}, object{"jobId": job, "requestId": strings.Repeat("x", 129)}},
		{"ListOccurrences", right{instance: "read"}, object{"jobId": job}},
		{"ListExecutions", right{instance: "read"}, object{"instanceId": n.Instance}},
		{"GetExecution", right{instance: "read"}, object{"executionId": execution}},
		{"TailLog", right{instance: "read"}, object{"executionId": execution}},
		{"PlanJob", right{instance: "write"}, object{"jobId": job}},
		{"ApproveExecution", right{instance: "write"}, object{"executionId": execution, "digest": strings.Repeat("x", 201)}},
		{"RejectExecution", right{instance: "write"}, object{"executionId": execution, "reason": strings.Repeat("x", 501)}},
		{"ListExecutionFiles", right{instance: "read"}, object{"executionId": execution}},
		{"CancelExecution", right{instance: "write"}, object{"executionId": execution}},
		{"CreateInstance", right{create: true}, object{"instance": object{"title": strings.Repeat("x", 201)}}},
		{"CreateClient", right{operator: true}, object{"client": object{"scopes": []any{"nonsense"}}}},
		{"ListClients", right{operator: true}, object{}},
		{"DeleteClient", right{operator: true}, object{"clientId": "client_99999"}},
		{"ResetClientSecret", right{operator: true}, object{"clientId": "client_99999"}},
		{"PauseInstance", right{instance: "write"}, object{"instanceId": n.Instance, "reason": strings.Repeat("x", 501)}},
		{"ResumeInstance", right{instance: "write"}, object{"instanceId": n.Instance}},
		{"SkipOccurrence", right{instance: "write"}, object{"jobId": job, "scheduledFor": past}},
		{"MoveOccurrence", right{instance: "write"}, object{"jobId": job, "scheduledFor": past, "moveTo": later}},
		{"RestoreOccurrence", right{instance: "write"}, object{"jobId": job, "scheduledFor": past}},
		{"ExplainJob", right{instance: "read"}, object{"jobId": job}},
		{"BackfillJob", right{instance: "write"}, object{"jobId": job, "from": later, "to": past}},
		{"GetBackfill", right{instance: "read"}, object{"backfillId": backfill}},
		{"CancelBackfill", right{instance: "write"}, object{"backfillId": backfill}},
		{"WatchExecutions", right{instance: "read"}, object{"instanceId": n.Instance}},
		{"GetQuota", right{instance: "read"}, object{"instanceId": n.Instance}},
		{"SetQuota", right{operator: true}, object{"instanceId": n.Instance, "limits": object{"jobs": -1}}},
		{"ListAuditEvents", right{instance: "write"}, object{"instanceId": n.Instance}},
		{"ListAuditEvents", right{any: true}, object{}},
		{"ListKeys", right{operator: true}, object{}},
		{"AddKey", right{operator: true}, object{}},
		{"PromoteKey", right{operator: true}, object{"keyId": "key_1"}},
		{"RewrapKeys", right{operator: true}, object{}},
		{"DisableKey", right{operator: true}, object{"keyId": "key_1"}},
		{"DestroyKey", right{operator: true}, object{"keyId": "key_1"}},
		{"ListSigningKeys", right{operator: true}, object{}},
		{"RotateSigningKey", right{operator: true}, object{"purpose": "LINK"}},
		{"CreateWebhook", right{instance: "write"}, object{"instanceId": n.Instance, "webhook": object{"url": "ftp://example.com", "events": []any{}}}},
		{"GetWebhook", right{instance: "read"}, object{"webhookId": theWebhook}},
		{"ListWebhooks", right{instance: "read"}, object{"instanceId": n.Instance}},
		{"UpdateWebhook", right{instance: "write"}, object{"webhook": object{"id": theWebhook, "url": "ftp://example.com"}}},
		{"DeleteWebhook", right{instance: "write"}, object{"webhookId": theWebhook, "etag": `"stale"`}},
		{"RotateWebhookSecret", right{instance: "write"}, object{"webhookId": theWebhook}},
		{"TestWebhook", right{instance: "write"}, object{"webhookId": theWebhook}},
		{"ListDeliveries", right{instance: "read"}, object{"instanceId": n.Instance}},
		{"GetDelivery", right{instance: "read"}, object{"deliveryId": theDelivery}},
		{"RedeliverNotice", right{instance: "write"}, object{"deliveryId": theDelivery}},
		{"ListInstances", right{any: true}, object{}},
		{"ListTaskTypes", right{any: true}, object{}},
		{"ListRemoteTypes", right{any: true}, object{}},
		{"PreviewSchedule", right{any: true}, object{"frequencyType": "MANUAL"}},
	}
}

// verdict is the code that a call must end with, "" when it is none of those
// about rights.
func (has right) verdict(needs right) string {
	enough := func(has, needs string) bool { return has == "write" || has == needs }
	switch {
	case needs.any, has.operator, needs.create && has.create:
		return ""
	case needs.create, needs.operator:
		return "PERMISSION_DENIED"
	}
	kind, own := needs.instance, has.instance
	if needs.resource != "" {
		kind, own = needs.resource, max(has.resource, has.instance) // "write" is the greater word
	}
	switch {
	case own == "":
		return "NOT_FOUND"
	case !enough(own, kind):
		return "PERMISSION_DENIED"
	}
	return ""
}

// open are the methods that need no token, and two that are part of others:
// ListJobs of GraphQL asks for the executions of all jobs at once, and doors ask
// what a caller may do before they refuse a request themselves.
var open = []string{"IssueToken", "GetSigningKeys", "DownloadLog", "ListLatestExecutions", "CheckAccess"}
