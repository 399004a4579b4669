package hub

import (
	"crypto/tls"
	"log/slog"
	"net/http"

	"flotilla.dev/flotilla/hub/rollout/check"
	"flotilla.dev/flotilla/hub/source"
	asked "flotilla.dev/flotilla/pkg/check"
	"flotilla.dev/flotilla/pkg/fleet"
)

// checker asks what the gates of Rollouts ask, under the policy on addresses that Sources are under.
func checker(store check.Store, network *source.Network, log *slog.Logger) *check.Checker {
	return check.New(check.Config{Store: store, Log: log, Client: func(trust *tls.Config) *http.Client {
		return network.Client(source.ClientConfig{TLS: trust, Errors: asked.MaxError, Patience: fleet.MaxWebhookTimeout, Limit: func(*http.Request) (int64, string) {
			return asked.MaxAnswer + 1, "its answer is too large" // the asker, who reads one byte more than it takes, says so
		}})
	}})
}
