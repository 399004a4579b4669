package helm_test

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/flux"
)

func TestDriftNamesNoKeyThatAValueOfASecretHasMade(t *testing.T) {
	r := drifting(t, flux.HelmDriftWarn)
	r.secret("s", map[string]string{"values.yaml": "users: {canary: a}\n"})
	r.plan.Spec.ValuesFrom = []flux.HelmValuesReference{{Kind: "Secret", Name: "s"}}
	r.release(map[string]string{"templates/users.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: users}\ndata: {{ .Values.users | toJson }}\n"})
	r.says("NoDriftDetected")
	r.patch(configMaps, "users", "someone", `{"data":{"canary":"theirs"}}`)
	r.says("DriftDetected")
	said := r.status().Drifted.Message
	for _, event := range r.eventsOf("DriftDetected") {
		said += event.Message
	}
	if strings.Contains(said, "canary") || !strings.Contains(said, "/users changed (0 additions, 1 changes, 0 removals): /data") {
		t.Errorf("told is %s", said)
	}
}
