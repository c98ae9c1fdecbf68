package remote

import (
	"strconv"

	"github.com/pointscene/carillon/server/internal/remote/acc"
)

// App is the server's own app at Autodesk, for remotes of type acc whose
// configuration names none.
type App struct {
	// ClientID and ClientSecret are empty when the server has none.
	ClientID, ClientSecret string
	// Endpoint is where Autodesk's API is; empty means acc.DefaultEndpoint.
	Endpoint string
	// RateFactor is the share of an app's documented limits that this process
	// uses; 0 means 1.
	RateFactor float64
}

// fill completes the options of a remote of type acc. The server's secret goes
// to no other place than the server's own endpoint.
func (a App) fill(name string, values map[string]string) error {
	ownApp := values["client_id"] != "" && values["client_secret"] != ""
	switch {
	case values["endpoint"] != "" && !ownApp:
		return failure(ReasonAppMissing, "remote %q has an endpoint of its own, so it needs client_id and client_secret of its own too", name)
	case values["client_id"] == "" && a.ClientID == "":
		return failure(ReasonAppMissing, "remote %q has no app at Autodesk: give its config client_id and client_secret, or the server --aps-client-id and --aps-client-secret", name)
	case values["client_id"] == "":
		values["client_id"], values["client_secret"] = a.ClientID, a.ClientSecret
	case values["client_id"] == a.ClientID && values["client_secret"] == "":
		values["client_secret"] = a.ClientSecret
	}
	if values["endpoint"] == "" {
		values["endpoint"] = a.Endpoint
	}
	if values["endpoint"] == "" {
		values["endpoint"] = acc.DefaultEndpoint
	}
	if a.RateFactor > 0 {
		values["rate_factor"] = strconv.FormatFloat(a.RateFactor, 'f', -1, 64)
	}
	return nil
}
