// Package openapi is the OpenAPI document of the REST door: what the generator
// makes of the protos, and what it cannot know of the door.
//
// That is: the address; the shape of errors; that a stream comes in lines;
// that a field without a value is null in an answer; that a PATCH requires no
// field; that addresses which differ in a parameter's name only are one; and that
// what stands in one address of a method is no parameter of its other one.
package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/pointscene/carillon/gen/carillon/v1" // registers the messages
	generated "github.com/pointscene/carillon/gen/openapi"
)

// object is a part of the document.
type object = map[string]any

const (
	schemas   = "#/components/schemas/"
	errorName = "carillon.Error"
)

// New returns a handler that answers the document of the service at publicURL.
func New(publicURL string) (http.Handler, error) {
	document := object{}
	if err := json.Unmarshal(generated.JSON, &document); err != nil {
		return nil, fmt.Errorf("read the generated OpenAPI document: %w", err)
	}
	document["servers"] = []any{object{"url": strings.TrimSuffix(publicURL, "/")}}
	paths, _ := document["paths"].(object)
	components, _ := document["components"].(object)
	defined, _ := components["schemas"].(object)
	if paths == nil || defined == nil {
		return nil, fmt.Errorf("the generated OpenAPI document lacks paths or schemas")
	}
	dropAlternatives(paths)
	mergePaths(paths)
	describeErrors(paths, defined)
	describeStreams(paths)
	describeNulls(defined)
	describePatches(paths, defined)
	body, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("write the OpenAPI document: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(body) // the client is gone, which nobody can be told
	}), nil
}

// mergePaths writes {job.id} as {job_id}, so that one address stands there once.
func mergePaths(paths object) {
	for path, item := range paths {
		plain := strings.ReplaceAll(path, ".id}", "_id}")
		if plain == path {
			continue
		}
		delete(paths, path)
		rename(item)
		merged, _ := paths[plain].(object)
		if merged == nil {
			merged = object{}
		}
		maps.Copy(merged, item.(object))
		paths[plain] = merged
	}
}

// dropAlternatives takes jobId from the executions of an instance and instanceId
// from those of a job: the service refuses both at once.
func dropAlternatives(paths object) {
	addresses := []string{"/v1/jobs/{job_id}/executions", "/v1/instances/{instance_id}/executions"}
	for _, path := range addresses {
		get := child(child(paths, path), "get")
		parameters, _ := get["parameters"].([]any)
		get["parameters"] = slices.DeleteFunc(parameters, func(p any) bool {
			o := p.(object)
			return o["in"] == "query" && (o["name"] == "jobId" || o["name"] == "instanceId")
		})
	}
}

// rename renames path parameters anywhere in node.
func rename(node any) {
	each(node, func(o object) {
		if name, ok := o["name"].(string); ok && o["in"] == "path" {
			o["name"] = strings.ReplaceAll(name, ".id", "_id")
		}
	})
}

// describeErrors puts the envelope around google.rpc.Status.
func describeErrors(paths, defined object) {
	status, _ := defined["google.rpc.Status"].(object)
	properties, _ := status["properties"].(object)
	defined[errorName] = object{
		"type":     "object",
		"required": []any{"error"},
		"properties": object{"error": object{
			"type":     "object",
			"required": []any{"code", "status", "message", "details"},
			"properties": object{
				"code":    object{"type": "integer", "description": "The HTTP status."},
				"status":  object{"type": "string", "description": "The name of a google.rpc.Code."},
				"message": object{"type": "string", "description": "For people."},
				"details": properties["details"],
			},
		}},
	}
	delete(defined, "google.rpc.Status")
	each(paths, func(o object) {
		if o["$ref"] == schemas+"google.rpc.Status" {
			o["$ref"] = schemas + errorName
		}
	})
}

// describeStreams says that a stream comes as lines or as events.
func describeStreams(paths object) {
	each(paths, func(operation object) {
		answer := child(child(operation, "responses"), "200")
		schema := child(child(child(answer, "content"), "application/json"), "schema")
		line := child(schema, "properties")["result"]
		if title, _ := schema["title"].(string); !strings.HasPrefix(title, "Stream result of ") || line == nil {
			return
		}
		answer["description"] = "Messages as they come: each a JSON object of this schema on a line of its own, or the data of an event " +
			"whose id is the cursor to go on from. A failure after the first is a last line {\"error\": …}, or an event named error."
		answer["content"] = object{
			"application/x-ndjson": object{"schema": line},
			"text/event-stream":    object{"schema": object{"type": "string"}},
		}
	})
}

// describeNulls says which fields are null without a value: those whose type
// is a message.
func describeNulls(defined object) {
	for name, schema := range defined {
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		message, ok := found.(protoreflect.MessageDescriptor)
		if err != nil || !ok {
			continue
		}
		properties := child(schema.(object), "properties")
		for key, property := range properties {
			field := message.Fields().ByJSONName(key)
			if field == nil || field.Message() == nil || field.Cardinality() == protoreflect.Repeated {
				continue
			}
			properties[key] = nullable(property.(object))
		}
	}
}

func nullable(property object) object {
	if kind, ok := property["type"]; ok {
		property["type"] = []any{kind, "null"}
		return property
	}
	description := property["description"]
	delete(property, "description")
	out := object{"anyOf": []any{property, object{"type": "null"}}}
	if description != nil {
		out["description"] = description
	}
	return out
}

// describePatches lets every field of a PATCH be absent.
func describePatches(paths, defined object) {
	for _, item := range paths {
		patch, ok := item.(object)["patch"].(object)
		if !ok {
			continue
		}
		each(patch["requestBody"], func(o object) {
			ref, ok := o["$ref"].(string)
			whole, known := defined[strings.TrimPrefix(ref, schemas)].(object)
			if !ok || !known {
				return
			}
			part := maps.Clone(whole)
			delete(part, "required")
			defined[strings.TrimPrefix(ref, schemas)+".Change"] = part
			o["$ref"] = ref + ".Change"
		})
	}
}

// each visits every object of a document.
func each(node any, visit func(object)) {
	switch node := node.(type) {
	case object:
		visit(node)
		for _, value := range node {
			each(value, visit)
		}
	case []any:
		for _, value := range node {
			each(value, visit)
		}
	}
}

// child returns a member that is an object; an empty one when it isn't there.
func child(parent object, name string) object {
	if o, ok := parent[name].(object); ok {
		return o
	}
	return object{}
}
