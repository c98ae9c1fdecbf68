package model

import (
	"github.com/99designs/gqlgen/graphql"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// JobConfig is what is stored for a resource.
type JobConfig struct{ *carillonv1.Config }

// Remotes are never null.
func (c *JobConfig) Remotes() []*JobRemote {
	list := make([]*JobRemote, len(c.GetRemotes()))
	for i, one := range c.GetRemotes() {
		list[i] = &JobRemote{one}
	}
	return list
}

// JobRemote is one stored remote.
type JobRemote struct{ *carillonv1.Remote }

// Reason is null while its credentials are not refused.
func (r *JobRemote) Reason() *string { return unlessEmpty(r.Remote.GetReason()) }

// MarshalRemoteState writes the name.
func MarshalRemoteState(e carillonv1.Remote_State) graphql.Marshaler { return enumOf(e) }

// UnmarshalRemoteState reads the name.
func UnmarshalRemoteState(v any) (carillonv1.Remote_State, error) {
	return parseEnum[carillonv1.Remote_State](v, carillonv1.Remote_State_value)
}

// MarshalRemoteCheck writes the name.
func MarshalRemoteCheck(e carillonv1.RemoteTest_Check) graphql.Marshaler { return enumOf(e) }

// UnmarshalRemoteCheck reads the name.
func UnmarshalRemoteCheck(v any) (carillonv1.RemoteTest_Check, error) {
	return parseEnum[carillonv1.RemoteTest_Check](v, carillonv1.RemoteTest_Check_value)
}

// MarshalCheckOutcome writes the name.
func MarshalCheckOutcome(e carillonv1.RemoteTest_Outcome) graphql.Marshaler { return enumOf(e) }

// UnmarshalCheckOutcome reads the name.
func UnmarshalCheckOutcome(v any) (carillonv1.RemoteTest_Outcome, error) {
	return parseEnum[carillonv1.RemoteTest_Outcome](v, carillonv1.RemoteTest_Outcome_value)
}

// ConfigTest is what remotes can do; see Backfill for why it is wrapped.
type ConfigTest struct{ *carillonv1.TestConfigResponse }
