package harness

import "strings"

// operation is how GraphQL offers an RPC.
type operation struct {
	kind, field string
	arguments   []argument
	selection   string
	// list names the RPC's list that a page's items stand for; bare says that
	// the root field is the list itself.
	list string
	bare bool
	// empty says that the RPC answers nothing where GraphQL says success.
	empty bool
}

// argument is one argument: its GraphQL type and the path of the RPC's request
// that it stands for.
type argument struct{ name, kind, from string }

// arguments reads "name Type path" lines; the path is the name unless given.
func arguments(text string) []argument {
	var out []argument
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch len(words) {
		case 2:
			out = append(out, argument{words[0], words[1], words[0]})
		case 3:
			out = append(out, argument{words[0], words[1], words[2]})
		}
	}
	return out
}

const (
	jobSelection = `{ id instanceId name description active state workflow frequencyType cronExpression intervalMinutes
		timeZone labels overlapPolicy catchUpPolicy catchUpWindow
		retryPolicy { retryCount minBackoff maxBackoff maxDoublings maxRetryDuration }
		nextRun lastRun createdAt updatedAt etag warnings { code message } }`
	executionSelection = `{ id jobId instanceId trigger scheduledFor startedAt finishedAt state success
		error { code reason message } attempt logPath signedLogUrl
		tasks { name type state startedAt finishedAt error { code reason message } } createdAt }`
	jobFields = `
		workflow JSON job.workflow
		frequencyType FrequencyType job.frequencyType
		cronExpression String job.cronExpression
		intervalMinutes Int job.intervalMinutes
		active Boolean job.active
		name String job.name
		description String job.description
		timeZone String job.timeZone
		labels Labels job.labels
		overlapPolicy OverlapPolicy job.overlapPolicy
		catchUpPolicy CatchUpPolicy job.catchUpPolicy
		catchUpWindow Duration job.catchUpWindow
		retryPolicy RetryPolicyInput job.retryPolicy
		validateOnly Boolean`
	named = `
		title String %.title
		description String %.description
		requestId String
		validateOnly Boolean`
	instanceSelection = "{ id title description createdAt }"
	resourceSelection = "{ id instanceId title description createdAt }"
	clientSelection   = "{ id title scopes instanceIds createdAt clientSecret }"
	success           = "{ success }"
)

func page(items string) string { return "{ items " + items + " cursor hasNextPage }" }

// operations are the RPCs that GraphQL offers, by name.
var operations = map[string]operation{
	"CreateJob": {kind: "mutation", field: "createScheduledJob", selection: jobSelection,
		arguments: arguments("instanceId ID!\nrequestId String" + strings.NewReplacer("JSON", "JSON!", "FrequencyType job", "FrequencyType! job").Replace(jobFields))},
	"UpdateJob": {kind: "mutation", field: "updateScheduledJob", selection: jobSelection,
		arguments: arguments("jobId ID! job.id\ninstanceId ID! job.instanceId\netag String job.etag" + jobFields)},
	"DeleteJob": {kind: "mutation", field: "deleteScheduledJob", selection: success, empty: true, arguments: arguments("jobId ID\netag String")},
	"PauseJob":  {kind: "mutation", field: "pauseScheduledJob", selection: jobSelection, arguments: arguments("jobId ID!\netag String")},
	"ResumeJob": {kind: "mutation", field: "resumeScheduledJob", selection: jobSelection, arguments: arguments("jobId ID!\netag String")},
	"RunJob": {kind: "mutation", field: "runScheduledJob", selection: executionSelection,
		arguments: arguments("jobId ID!\nrequestId String\noverlapPolicy OverlapPolicy")},
	"GetJob":   {kind: "query", field: "getScheduledJob", selection: jobSelection, arguments: arguments("jobId ID!")},
	"ListJobs": {kind: "query", field: "getScheduledJobs", selection: jobSelection, list: "jobs", bare: true, arguments: arguments("instanceId ID!")},
	"GetExecution": {kind: "query", field: "getScheduledJobHistory", selection: executionSelection,
		arguments: arguments("jobHistoryId ID! executionId")},
	"CancelExecution": {kind: "mutation", field: "cancelScheduledJobRun", selection: executionSelection,
		arguments: arguments("jobHistoryId ID! executionId")},
	// ListExecutions of an instance; that of a job is getJobHistory.
	"ListExecutions": {kind: "query", field: "getInstanceJobHistory", selection: page(executionSelection), list: "executions",
		arguments: arguments("instanceId ID!\npage Page")},
	"ListOccurrences": {kind: "query", field: "getJobOccurrences", list: "occurrences",
		selection: page("{ scheduledFor outcome reason executionId until count }"), arguments: arguments("jobId ID!\nfrom Date\nto Date\npage Page")},
	"TailLog": {kind: "query", field: "getJobLog", selection: page("{ time level task message attributes cursor }"), list: "lines",
		arguments: arguments("jobHistoryId ID! executionId")},
	"PreviewSchedule": {kind: "query", field: "previewSchedule", selection: "{ times warnings { code message } }",
		arguments: arguments("frequencyType FrequencyType!\ncronExpression String\nintervalMinutes Int\ntimeZone String\nafter Date\ncount Int")},

	"AddConfig":    {kind: "mutation", field: "addJobConfig", selection: success, arguments: arguments("resourceId ID!\nconfig JSON!")},
	"GetConfig":    {kind: "query", field: "getJobConfig", selection: "{ resourceId remotes { name type keys updatedAt } }", arguments: arguments("resourceId ID!")},
	"DeleteConfig": {kind: "mutation", field: "deleteJobConfig", selection: success, empty: true, arguments: arguments("resourceId ID!")},

	"CreateInstance": {kind: "mutation", field: "createInstance", selection: instanceSelection,
		arguments: arguments(strings.ReplaceAll(named, "%", "instance"))},
	"GetInstance":    {kind: "query", field: "getInstance", selection: instanceSelection, arguments: arguments("instanceId ID!")},
	"ListInstances":  {kind: "query", field: "getInstances", selection: page(instanceSelection), list: "instances", arguments: arguments("page Page")},
	"DeleteInstance": {kind: "mutation", field: "deleteInstance", selection: success, empty: true, arguments: arguments("instanceId ID!")},
	"CreateResource": {kind: "mutation", field: "createResource", selection: resourceSelection,
		arguments: arguments("instanceId ID!" + strings.ReplaceAll(named, "%", "resource"))},
	"GetResource": {kind: "query", field: "getResource", selection: resourceSelection, arguments: arguments("resourceId ID!")},
	"ListResources": {kind: "query", field: "getResources", selection: page(resourceSelection), list: "resources",
		arguments: arguments("instanceId ID!\npage Page")},
	"DeleteResource": {kind: "mutation", field: "deleteResource", selection: success, empty: true, arguments: arguments("resourceId ID!")},
	"CreateClient": {kind: "mutation", field: "createClient", selection: clientSelection,
		arguments: arguments("title String client.title\nscopes [String!] client.scopes\ninstanceIds [ID!] client.instanceIds\nvalidateOnly Boolean")},
	"ListClients":       {kind: "query", field: "getClients", selection: page(clientSelection), list: "clients", arguments: arguments("page Page")},
	"DeleteClient":      {kind: "mutation", field: "deleteClient", selection: success, empty: true, arguments: arguments("clientId ID!")},
	"ResetClientSecret": {kind: "mutation", field: "resetClientSecret", selection: clientSelection, arguments: arguments("clientId ID!")},
}
