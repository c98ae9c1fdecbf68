package model

import (
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pointscene/carillon/facade/internal/door"
	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// enumOf writes a value by its name; one that was not given is null.
func enumOf(e protoreflect.Enum) graphql.Marshaler {
	value := e.Descriptor().Values().ByNumber(e.Number())
	if e.Number() == 0 || value == nil {
		return graphql.Null
	}
	return graphql.MarshalString(string(value.Name()))
}

func parseEnum[E ~int32](v any, byName map[string]int32) (E, error) {
	name, isText := v.(string)
	n, known := byName[name]
	if isText && known && n != 0 {
		return E(n), nil
	}
	names := make([]string, 0, len(byName))
	for name, n := range byName {
		if n != 0 {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return int(byName[a] - byName[b]) })
	return 0, &InputError{Reason: door.ReasonInvalidValue, Description: "must be one of " + strings.Join(names, ", ")}
}

// MarshalFrequencyType writes the name.
func MarshalFrequencyType(e carillonv1.Job_FrequencyType) graphql.Marshaler { return enumOf(e) }

// UnmarshalFrequencyType reads the name.
func UnmarshalFrequencyType(v any) (carillonv1.Job_FrequencyType, error) {
	return parseEnum[carillonv1.Job_FrequencyType](v, carillonv1.Job_FrequencyType_value)
}

// MarshalOverlapPolicy writes the name.
func MarshalOverlapPolicy(e carillonv1.Job_OverlapPolicy) graphql.Marshaler { return enumOf(e) }

// UnmarshalOverlapPolicy reads the name.
func UnmarshalOverlapPolicy(v any) (carillonv1.Job_OverlapPolicy, error) {
	return parseEnum[carillonv1.Job_OverlapPolicy](v, carillonv1.Job_OverlapPolicy_value)
}

// MarshalCatchUpPolicy writes the name.
func MarshalCatchUpPolicy(e carillonv1.Job_CatchUpPolicy) graphql.Marshaler { return enumOf(e) }

// UnmarshalCatchUpPolicy reads the name.
func UnmarshalCatchUpPolicy(v any) (carillonv1.Job_CatchUpPolicy, error) {
	return parseEnum[carillonv1.Job_CatchUpPolicy](v, carillonv1.Job_CatchUpPolicy_value)
}

// MarshalDstGapPolicy writes the name.
func MarshalDstGapPolicy(e carillonv1.DaylightSaving_GapPolicy) graphql.Marshaler { return enumOf(e) }

// UnmarshalDstGapPolicy reads the name.
func UnmarshalDstGapPolicy(v any) (carillonv1.DaylightSaving_GapPolicy, error) {
	return parseEnum[carillonv1.DaylightSaving_GapPolicy](v, carillonv1.DaylightSaving_GapPolicy_value)
}

// MarshalDstOverlapPolicy writes the name.
func MarshalDstOverlapPolicy(e carillonv1.DaylightSaving_OverlapPolicy) graphql.Marshaler {
	return enumOf(e)
}

// UnmarshalDstOverlapPolicy reads the name.
func UnmarshalDstOverlapPolicy(v any) (carillonv1.DaylightSaving_OverlapPolicy, error) {
	return parseEnum[carillonv1.DaylightSaving_OverlapPolicy](v, carillonv1.DaylightSaving_OverlapPolicy_value)
}

// MarshalJobState writes the name.
func MarshalJobState(e carillonv1.Job_State) graphql.Marshaler { return enumOf(e) }

// UnmarshalJobState reads the name. No input has it yet, but gqlgen wants it.
func UnmarshalJobState(v any) (carillonv1.Job_State, error) {
	return parseEnum[carillonv1.Job_State](v, carillonv1.Job_State_value)
}

// MarshalTrigger writes the name.
func MarshalTrigger(e carillonv1.Execution_Trigger) graphql.Marshaler { return enumOf(e) }

// UnmarshalTrigger reads the name. No input has it yet, but gqlgen wants it.
func UnmarshalTrigger(v any) (carillonv1.Execution_Trigger, error) {
	return parseEnum[carillonv1.Execution_Trigger](v, carillonv1.Execution_Trigger_value)
}

// MarshalExecutionState writes the name.
func MarshalExecutionState(e carillonv1.Execution_State) graphql.Marshaler { return enumOf(e) }

// UnmarshalExecutionState reads the name. No input has it yet, but gqlgen wants it.
func UnmarshalExecutionState(v any) (carillonv1.Execution_State, error) {
	return parseEnum[carillonv1.Execution_State](v, carillonv1.Execution_State_value)
}

// MarshalTaskState writes the name.
func MarshalTaskState(e carillonv1.Execution_Task_State) graphql.Marshaler { return enumOf(e) }

// UnmarshalTaskState reads the name. No input has it yet, but gqlgen wants it.
func UnmarshalTaskState(v any) (carillonv1.Execution_Task_State, error) {
	return parseEnum[carillonv1.Execution_Task_State](v, carillonv1.Execution_Task_State_value)
}

// MarshalBackfillState writes the name.
func MarshalBackfillState(e carillonv1.Backfill_State) graphql.Marshaler { return enumOf(e) }

// UnmarshalBackfillState reads the name. No input has it yet, but gqlgen wants it.
func UnmarshalBackfillState(v any) (carillonv1.Backfill_State, error) {
	return parseEnum[carillonv1.Backfill_State](v, carillonv1.Backfill_State_value)
}

// MarshalOccurrenceOutcome writes the name.
func MarshalOccurrenceOutcome(e carillonv1.Occurrence_Outcome) graphql.Marshaler { return enumOf(e) }

// UnmarshalOccurrenceOutcome reads the name. No input has it yet, but gqlgen wants it.
func UnmarshalOccurrenceOutcome(v any) (carillonv1.Occurrence_Outcome, error) {
	return parseEnum[carillonv1.Occurrence_Outcome](v, carillonv1.Occurrence_Outcome_value)
}

// MarshalKeyState writes the name.
func MarshalKeyState(e carillonv1.Key_State) graphql.Marshaler { return enumOf(e) }

// UnmarshalKeyState reads the name. No input has it yet, but gqlgen wants it.
func UnmarshalKeyState(v any) (carillonv1.Key_State, error) {
	return parseEnum[carillonv1.Key_State](v, carillonv1.Key_State_value)
}

// MarshalSigningPurpose writes the name.
func MarshalSigningPurpose(e carillonv1.SigningKey_Purpose) graphql.Marshaler { return enumOf(e) }

// UnmarshalSigningPurpose reads the name.
func UnmarshalSigningPurpose(v any) (carillonv1.SigningKey_Purpose, error) {
	return parseEnum[carillonv1.SigningKey_Purpose](v, carillonv1.SigningKey_Purpose_value)
}

// MarshalApprovalState writes the name.
func MarshalApprovalState(e carillonv1.Approval_State) graphql.Marshaler { return enumOf(e) }

// UnmarshalApprovalState reads the name. No input has it yet, but gqlgen wants it.
func UnmarshalApprovalState(v any) (carillonv1.Approval_State, error) {
	return parseEnum[carillonv1.Approval_State](v, carillonv1.Approval_State_value)
}

// MarshalFileAction writes the name.
func MarshalFileAction(e carillonv1.ExecutionFile_Action) graphql.Marshaler { return enumOf(e) }

// UnmarshalFileAction reads the name.
func UnmarshalFileAction(v any) (carillonv1.ExecutionFile_Action, error) {
	return parseEnum[carillonv1.ExecutionFile_Action](v, carillonv1.ExecutionFile_Action_value)
}

// MarshalFileState writes the name.
func MarshalFileState(e carillonv1.ExecutionFile_State) graphql.Marshaler { return enumOf(e) }

// UnmarshalFileState reads the name.
func UnmarshalFileState(v any) (carillonv1.ExecutionFile_State, error) {
	return parseEnum[carillonv1.ExecutionFile_State](v, carillonv1.ExecutionFile_State_value)
}
