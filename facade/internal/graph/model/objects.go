package model

import (
	"encoding/json"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pointscene/carillon/facade/internal/door"
)

// MarshalObject writes a JSON object.
func MarshalObject(object *structpb.Struct) graphql.Marshaler {
	if object == nil {
		return graphql.Null
	}
	written, err := object.MarshalJSON()
	if err != nil {
		return graphql.Null
	}
	return raw(written)
}

// UnmarshalObject reads a JSON object, or takes one that was read already. Its
// numbers and texts were checked before, as raw text.
func UnmarshalObject(v any) (*structpb.Struct, error) {
	if object, ok := v.(*structpb.Struct); ok {
		return object, nil
	}
	if _, ok := v.(map[string]any); !ok {
		return nil, wrongType("an object")
	}
	value, err := toValue(v, "")
	return value.GetStructValue(), err
}

func toValue(v any, path string) (*structpb.Value, error) {
	switch v := v.(type) {
	case nil:
		return structpb.NewNullValue(), nil
	case bool:
		return structpb.NewBoolValue(v), nil
	case string:
		return structpb.NewStringValue(v), nil
	case int64:
		return structpb.NewNumberValue(float64(v)), nil
	case float64:
		return structpb.NewNumberValue(v), nil
	case json.Number:
		n, err := v.Float64()
		if err != nil {
			return nil, &InputError{Path: path, Reason: "NUMBER_RANGE", Description: "is outside of the range of a double"}
		}
		return structpb.NewNumberValue(n), nil
	case []any: // nil for a literal [], which is a list all the same
		list := &structpb.ListValue{Values: make([]*structpb.Value, len(v))}
		for i, element := range v {
			value, err := toValue(element, path+"["+strconv.Itoa(i)+"]")
			if err != nil {
				return nil, err
			}
			list.Values[i] = value
		}
		return structpb.NewListValue(list), nil
	case *structpb.Struct: // a variable within a literal
		return structpb.NewStructValue(v), nil
	case map[string]any:
		object := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(v))}
		for key, member := range v {
			value, err := toValue(member, path+"."+key)
			if err != nil {
				return nil, err
			}
			object.Fields[key] = value
		}
		return structpb.NewStructValue(object), nil
	}
	return nil, &InputError{Path: path, Reason: door.ReasonWrongType, Description: "is no JSON value"}
}

// MarshalLabels writes labels.
func MarshalLabels(labels map[string]string) graphql.Marshaler {
	written, err := json.Marshal(labels)
	if err != nil {
		return graphql.Null
	}
	return raw(written)
}

// UnmarshalLabels reads an object whose values are text.
func UnmarshalLabels(v any) (map[string]string, error) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil, wrongType("an object whose values are text")
	}
	labels := make(map[string]string, len(object))
	for key, value := range object {
		label, ok := value.(string)
		if !ok {
			return nil, &InputError{Path: "." + key, Reason: door.ReasonWrongType, Description: "must be text"}
		}
		labels[key] = label
	}
	return labels, nil
}
