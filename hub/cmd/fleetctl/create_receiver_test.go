package main

import (
	"regexp"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/flux"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

const receiverApp = `
apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata: {name: app, namespace: apps, generation: 1, creationTimestamp: "2026-03-01T10:00:00Z"}
spec: {type: github, secretRef: {name: app}, resources: [{kind: GitRepository, name: app}]}
status:
  observedGeneration: 1
  webhookPath: /hook/0123
  conditions: [{type: Ready, status: "True", reason: Succeeded, message: "Receiver initialized for path: /hook/0123", observedGeneration: 1}]
`

// The exports are Flux's, letter by letter.
func TestWhatReceiversAreMadeOfIsExportedAsFluxDoes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ args, want string }{
		{"create secret receiver receiver-secret --type=github --token=test-token --hostname=flux.example.com -n my-namespace --export", `
---
apiVersion: v1
kind: Secret
metadata:
  annotations:
    notification.toolkit.fluxcd.io/webhook: https://flux.example.com/hook/106120121d366c2f67e93200f6c1dbe938235eb588daa5e8c0516d3a77ac1dee
  name: receiver-secret
  namespace: my-namespace
stringData:
  token: test-token`},
		{"create secret receiver gcr-secret --type=gcr --token=test-token --hostname=flux.example.com --email-claim=sa@project.iam.gserviceaccount.com -n my-namespace --export", `
---
apiVersion: v1
kind: Secret
metadata:
  annotations:
    notification.toolkit.fluxcd.io/webhook: https://flux.example.com/hook/6d6c55e9affb9d1e0d101ce604ae4270880ec1ff24d1bd2d928fcd64243d21a4
  name: gcr-secret
  namespace: my-namespace
stringData:
  audience: https://flux.example.com/hook/6d6c55e9affb9d1e0d101ce604ae4270880ec1ff24d1bd2d928fcd64243d21a4
  email: sa@project.iam.gserviceaccount.com
  token: test-token`},
		{"create secret receiver gcr-secret --type=gcr --token=test-token --email-claim=a@b --audience-claim=https://custom.example.com -n my-namespace --export", `
---
apiVersion: v1
kind: Secret
metadata:
  name: gcr-secret
  namespace: my-namespace
stringData:
  audience: https://custom.example.com
  email: a@b
  token: test-token`},
		{"create receiver webapp --type github --event ping --event push --secret-ref webhook-token --resource GitRepository/webapp,HelmRepository/web.app.other --label team=web --export", `
---
apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata:
  labels:
    team: web
  name: webapp
  namespace: apps
spec:
  events:
  - ping
  - push
  resources:
  - kind: GitRepository
    name: webapp
  - kind: HelmRepository
    name: web.app
    namespace: other
  secretRef:
    name: webhook-token
  type: github`},
	} {
		b := newBundle(t)
		want(t, test.args, b.ok(strings.Fields(test.args)...).stdout, test.want)
	}
}

func TestANewTokenIsShownOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	r := b.ok("create", "secret", "receiver", "app", "--type", "github", "--hostname", "hub.example.com")
	found := regexp.MustCompile(`(?m)^generated token ([0-9a-f]{64})$`).FindStringSubmatch(r.stdout)
	if found == nil {
		t.Fatalf("no token is told: %s", r.stdout)
	}
	if want := "generated webhook URL https://hub.example.com" + flux.WebhookPath(found[1], "app", "apps") + "\n"; !strings.Contains(r.stdout, want) {
		t.Errorf("told is %s, want %s", r.stdout, want)
	}
	applied := requestsOf[*adminv1.ApplyRequest](b.hub)
	if len(applied) == 0 || !strings.Contains(string(applied[len(applied)-1].GetObject()), found[1]) {
		t.Error("the hub was given another token")
	}
	for _, request := range applied {
		if strings.Contains(string(request.GetObject()), flux.WebhookPrefix) {
			t.Errorf("the hub was given the path in the open: %s", request.GetObject())
		}
	}
	if again := b.ok("create", "secret", "receiver", "app", "--type", "github"); strings.Contains(again.stdout, found[1]) {
		t.Error("two tokens are the same")
	}
	given := b.ok("create", "secret", "receiver", "app", "--type", "github", "--token", "hunter2")
	if strings.Contains(given.stdout+given.stderr, "hunter2") || !strings.Contains(given.stdout, flux.WebhookPath("hunter2", "app", "apps")) {
		t.Errorf("of a token that was given, told is %s", given.stdout+given.stderr)
	}
	if dry := b.ok("create", "secret", "receiver", "app", "--type", "github", "--dry-run"); strings.Contains(dry.stdout, "generated") {
		t.Errorf("a dry run tells a token that nobody has: %s", dry.stdout)
	}
}

func TestAReceiverIsMadeAndItsPathTold(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.applied = func(*adminv1.ApplyRequest) { b.hub.put(t, receiverApp) }
	r := b.ok("create", "receiver", "app", "--type", "github", "--secret-ref", "app", "--resource", "GitRepository/app")
	for _, words := range []string{"receiver.notification.toolkit.fluxcd.io/app created", "generated webhook URL /hook/0123"} {
		if !strings.Contains(r.stdout, words) {
			t.Errorf("%q is not told: %s", words, r.stdout)
		}
	}
	want(t, "get receivers", b.ok("get", "receivers").stdout, `
NAME   SUSPENDED   READY   MESSAGE
app    False       True    Receiver initialized for path: /hook/0123`)
	want(t, "get receivers, wide", b.ok("get", "receiver", "-o", "wide", "--no-headers").stdout, `
app   False   True   Receiver initialized for path: /hook/0123   github   120m`)
}

func TestReceiversThatMakeNoSenseAreNotMade(t *testing.T) {
	t.Parallel()
	for args, words := range map[string]string{
		"create receiver app":                                                               "--type is required",
		"create receiver app --type github --secret-ref a":                                  "--resource is required",
		"create receiver app --type github --resource Git/a":                                "--secret-ref is required",
		"create receiver app --type gitea --secret-ref a --resource GitRepository/a":        `--type "gitea" is not one of generic, generic-hmac, github`,
		"create receiver app --type generic-oidc --secret-ref a --resource GitRepository/a": `--type "generic-oidc" is not one of`,
		"create receiver app --type github --secret-ref a --resource app":                   `--resource "app" is not KIND/NAME[.NAMESPACE]`,
		"create receiver app --type github --secret-ref a --resource Deployment/a":          `spec.resources[0].kind: "Deployment" is not a kind`,
		"create receiver app --type harbor --event push --secret-ref a --resource Bucket/a": "spec.events: calls of type harbor name no event",
		"create secret receiver app":                                                        "--type is required",
		"create secret receiver app --type invalid":                                         `--type "invalid" is not one of`,
		"create secret receiver app --type gcr":                                             "--email-claim is required for type gcr",
		"create secret receiver app --type gcr --email-claim a@b":                           "--hostname or --audience-claim is required for type gcr",
		"create secret receiver app --type github --email-claim a@b":                        "--email-claim and --audience-claim are for type gcr",
		"create secret receiver app --type github -o json":                                  "a new token would be shown nowhere",
	} {
		newBundle(t).fails(exitUsage, []string{words}, strings.Fields(args)...)
	}
}
