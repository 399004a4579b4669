package check

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"

	"flotilla.dev/flotilla/pkg/fleet"
)

// SignatureHeader is that of Flux's generic-hmac.
const SignatureHeader = "X-Signature"

// Call is the body of a webhook's request.
type Call struct {
	Rollout string `json:"rollout"`
	// App is Kind/namespace/name.
	App      string            `json:"app"`
	Release  string            `json:"release"`
	Wave     string            `json:"wave"`
	Phase    string            `json:"phase"`
	Clusters []string          `json:"clusters"`
	Cluster  string            `json:"cluster,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// call makes one request.
func (a Asker) call(ctx context.Context, q fleet.GateQuestion, gate fleet.WebhookGate) (answer fleet.GateAnswer, err error) {
	body, err := json.Marshal(Call{
		Rollout: q.Rollout, App: q.App.Words(), Release: q.Release.String(), Wave: q.Wave, Phase: q.Phase,
		Clusters: append([]string{}, q.Clusters...), Cluster: q.Cluster, Metadata: gate.Metadata,
	})
	if err != nil {
		return answer, fmt.Errorf("encode the request: %w", err)
	}
	header := http.Header{"Content-Type": {"application/json"}}
	var hidden mask
	if gate.HMACSecretRef != nil {
		secret, err := a.secret(ctx, gate.HMACSecretRef)
		if err != nil {
			return answer, err
		}
		token := secret["token"]
		if len(token) == 0 {
			return answer, fmt.Errorf("Secret/%s/%s has no token", gate.HMACSecretRef.Namespace, gate.HMACSecretRef.Name)
		}
		signature := sign(token, body)
		header.Set(SignatureHeader, signature)
		hidden.add(string(token), signature)
	}
	if gate.Timeout != nil {
		limited, cancel := context.WithTimeout(ctx, gate.Timeout.Duration)
		defer cancel()
		ctx = limited
	}
	client := a.client(nil)
	defer client.CloseIdleConnections()
	status, said, err := post(ctx, client, gate.URL, header, body)
	switch {
	case err != nil:
		return answer, err
	case status == http.StatusOK:
		return fleet.GateAnswer{Result: fleet.ResultPass}, nil
	case status == http.StatusAccepted:
		return fleet.GateAnswer{Result: fleet.ResultAgain, Message: "the webhook does not know yet"}, nil
	case status >= 400 && status < 500 && !busy(status):
		message := hidden.clean(string(said))
		if message == "" {
			message = fmt.Sprintf("the webhook answers with status %d", status)
		}
		return fleet.GateAnswer{Result: fleet.ResultFail, Message: message}, nil
	}
	return answer, fmt.Errorf("the webhook answers with status %d", status)
}

// busy reports whether a status says that something in front of the webhook, or it, has no time: that is no answer.
func busy(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooEarly || status == http.StatusTooManyRequests
}

func sign(token, body []byte) string {
	mac := hmac.New(sha256.New, token)
	_, _ = mac.Write(body) // a hash never fails
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}
