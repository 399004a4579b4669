package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/spf13/cobra"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// readers are the commands that change nothing at the hub.
var readers = []string{
	"get", "describe", "status", "events", "diff", "tree", "trace", "history", "build", "debug", "api-resources", "wait", "prune show", "cluster list", "list artifacts", "pull artifact", "build artifact", "diff artifact", "export", "version", "help",
	"config view", "config get-contexts", "config use-context", "config set-context", "config delete-context",
	"completion bash", "completion zsh", "completion fish", "completion powershell", "exit-codes",
	"targets", "rollout plan", "rollout status", "rollout watch", "rollout history", "rollout list", "rollout wait",
}

// Rule: what changes something can tell first what it would do, in the words of what it does.
func TestEveryChangeHasADryRunThatSendsNoneAndSaysTheSame(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{}
	for _, test := range []struct{ command, args, want string }{
		{"apply", "-f FILE", "placement.fleet.flotilla.dev/app configured"},
		{"delete", "ks/app --confirm=2", "kustomization.kustomize.toolkit.fluxcd.io/app deleted"},
		{"delete", "ks/app@prod-1 --policy orphan", "kustomization.kustomize.toolkit.fluxcd.io/app@prod-1 deleted"},
		{"reconcile", "ks/app --with-source", "kustomization.kustomize.toolkit.fluxcd.io/app requested"},
		{"suspend", "ks/app gitrepo/app", "gitrepository.source.toolkit.fluxcd.io/app suspended"},
		{"resume", "ks/app", "kustomization.kustomize.toolkit.fluxcd.io/app resumed"},
		{"prune approve", "ks/app@canary-1 --confirm=1", "kustomization.kustomize.toolkit.fluxcd.io/app@canary-1 approved sha256:55556666 in canary-1"},
		{"cluster register", "eu-1", ""},
		{"create receiver", "app --type github --secret-ref app --resource GitRepository/app", "receiver.notification.toolkit.fluxcd.io/app created"},
		{"create secret receiver", "app --type github", "secret/app created"},
		{"create source git", "new --url https://example.com/x --branch main", "gitrepository.source.toolkit.fluxcd.io/new created"},
		{"create source oci", "new --url oci://example.com/x --tag 1", "ocirepository.source.toolkit.fluxcd.io/new created"},
		{"create source helm", "new --url https://example.com/x", "helmrepository.source.toolkit.fluxcd.io/new created"},
		{"create source chart", "new --source HelmRepository/x --chart x", "helmchart.source.toolkit.fluxcd.io/new created"},
		{"create source bucket", "new --bucket-name new-bucket --endpoint example.com", "bucket.source.toolkit.fluxcd.io/new created"},
		{"create source external", "new", "externalartifact.source.toolkit.fluxcd.io/new created"},
		{"create helmrelease", "new --chart-ref HelmChart/x", "helmrelease.helm.toolkit.fluxcd.io/new created"},
		{"create secret git", "new --url https://example.com/x --username u --password p", "secret/new created"},
		{"create secret helm", "new --username u --password p", "secret/new created"},
		{"create secret oci", "new --url example.com --username u --password p", "secret/new created"},
		{"create secret tls", "new --ca-crt-file CA", "secret/new created"},
		{"create secret proxy", "new --address http://proxy:3128", "secret/new created"},
		{"create secret githubapp", "new --app-id 1 --app-installation-id 2 --app-private-key FILE", "secret/new created"},
		{"create secret notation", "new --ca-cert-file CA --trust-policy-file POLICY", "secret/new created"},
		{"create credential", "new --url-prefix https://example.com/x --namespaces apps --secret-ref admin/x", "credential.fleet.flotilla.dev/new created"},
		{"push artifact", "ea/new --path FILE --revision main@sha1:1", "externalartifact.source.toolkit.fluxcd.io/new created"},
		{"push artifact", "oci://REGISTRY/app:v1 --path FILE --revision main@sha1:1 --source x", "oci://REGISTRY/app@sha256:"},
		{"tag artifact", "oci://REGISTRY/app:v0 --tag v1", "REGISTRY/app:v1 tagged"},
		{"create rolloutpolicy", "new --wave all", "rolloutpolicy.fleet.flotilla.dev/new created"},
		{"rollout start", "ks/app -y", rolloutType + "/ro-9ccc started"},
		{"rollout pause", "ks/app", rolloutType + "/ro-7k2f paused"},
		{"rollout resume", "ro-7k2f --retry-gate", rolloutType + "/ro-7k2f resumed"},
		{"rollout approve", "ks/app -y --gate prod-go", rolloutType + "/ro-7k2f approved"},
		{"rollout reject", "ks/app -y --gate prod-go", rolloutType + "/ro-7k2f rejected"},
		{"rollout skip-gate", "ks/app -y --gate prod-go --reason x", rolloutType + "/ro-7k2f goes on without gate prod-go"},
		{"rollout retry-cluster", "ks/app eu-2", rolloutType + "/ro-7k2f tries again: eu-2"},
		{"rollout skip-cluster", "ks/app eu-2 -y", rolloutType + "/ro-7k2f goes on without eu-2"},
		{"rollout rollback", "ks/app -y", rolloutType + "/ro-7k2f goes back"},
		{"rollout cancel", "ks/app -y", rolloutType + "/ro-7k2f cancelled"},
		{"freeze", "prod-1 --reason network", "user:admin   network"},
		{"unfreeze", "--confirm=2", "nothing is frozen"},
		{"hub recover", "", "prod-1, prod-2 left safe mode; 3 sources resolved anew"},
	} {
		t.Run(test.command+" "+test.args, func(t *testing.T) {
			b := newHeld(t)
			b.ready()
			b.rolling()
			b.hub.rolled.plan = testPlan()
			put := b.putting()
			args := append(strings.Fields(test.command), strings.Fields(put.Replace(test.args))...)
			var dry []string
			for _, arg := range args { // nobody is asked to confirm what does not happen
				if !strings.HasPrefix(arg, "--confirm") {
					dry = append(dry, arg)
				}
			}
			r := b.ok(append(dry, "--dry-run")...)
			for _, request := range b.hub.requests {
				if change, ok := request.(interface{ GetDryRun() bool }); ok && !change.GetDryRun() {
					t.Errorf("sent %T %v", request, request)
				}
				switch change := request.(type) {
				case *adminv1.GetRolloutRequest, *adminv1.PlanRolloutRequest:
				case interface{ GetApp() *adminv1.AppRollout }:
					if !change.GetApp().GetDryRun() {
						t.Errorf("sent %T %v", request, request)
					}
				}
			}
			lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
			for _, line := range lines {
				if !strings.HasSuffix(line, dryRunMark) {
					t.Errorf("stdout does not say that it is a dry run: %q", line)
				}
			}
			wantTexts(t, "stdout", r.stdout, put.Replace(test.want))
			wantTexts(t, "stdout of the change itself", b.ok(args...).stdout, put.Replace(test.want))
		})
		tested[test.command] = true
	}
	a := newBareBundle(t).app(nil, nil)
	a.given = map[string]bool{}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, child := range cmd.Commands() {
			walk(child)
		}
		name := strings.TrimPrefix(cmd.CommandPath(), "fleetctl ")
		if cmd.HasSubCommands() || tested[name] {
			return
		}
		for _, reader := range readers {
			if name == reader {
				return
			}
		}
		t.Errorf("%s changes something and no dry run of it is tested", name)
	}
	walk(newRootCommand(a))
}

// putting puts files of the test's, and a registry with the artifact app:v0, in the place of words that stand for them.
func (b *bundle) putting() *strings.Replacer {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	b.t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	b.ok("push", "artifact", "oci://"+host+"/app:v0", "--path", b.write("app.yaml", "a: 1\n"), "--revision", "main@sha1:1", "--source", "x")
	return strings.NewReplacer("FILE", b.write("fleet.yaml", declared), "REGISTRY", host, "CA", b.write("ca.crt", testCA),
		"POLICY", b.write("policy.json", `{"version":"1.0","trustPolicies":[{"name":"x"}]}`))
}

// ready makes every source ready as soon as it is declared.
func (b *bundle) ready() {
	b.hub.applied = func(r *adminv1.ApplyRequest) {
		declared, err := identify(r.GetObject())
		if err != nil || declared.kind.Category != "sources" && declared.kind.Name != "Receiver" {
			return
		}
		var object map[string]any
		if err := json.Unmarshal(r.GetObject(), &object); err != nil {
			b.t.Error(err)
		}
		object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "True", "message": "stored artifact"}},
			"artifact": map[string]any{"revision": "main@sha1:696f056d"}, "lastHandledReconcileAt": requestedAt}
		raw, err := json.Marshal(object)
		if err != nil {
			b.t.Error(err)
		}
		b.hub.store(objectKey{declared.kind.Name, declared.namespace, declared.name, ""}, raw, false)
	}
}

// testCA is a certificate.
var testCA = func() string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
}()

func TestDryRunTellsWhatItIsAbout(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.source = &adminv1.ReconcileResponse{SourceKind: "GitRepository", SourceNamespace: "apps", SourceName: "app"}
	wantTexts(t, "stderr of reconcile", b.ok("reconcile", "ks/app", "--with-source", "--dry-run").stderr,
		"gitrepo/app is looked at first", "ks/app is looked at in canary-1, prod-1")
	wantTexts(t, "stderr of suspend", b.ok("suspend", "ks/app", "--dry-run").stderr, "ks/app stays as it is in canary-1, prod-1")
	wantTexts(t, "stderr of resume", b.ok("resume", "ks/app", "--dry-run").stderr, "ks/app is looked after again in canary-1, prod-1")
	r := b.ok("cluster", "register", "eu-1", "--dry-run")
	wantTexts(t, "stderr of register", r.stderr, "a dry run makes none")
	want(t, "stdout of register", r.stdout, "cluster.fleet.flotilla.dev/eu-1 registered (server dry run)")
	if document := parseJSON(t, b.ok("reconcile", "ks/app", "--dry-run", "-o", "json").stdout); document["requestedAt"] != nil || len(document["clusters"].([]any)) != 2 {
		t.Errorf("-o json gives %v", document)
	}
	if document := parseJSON(t, b.ok("cluster", "register", "eu-1", "--dry-run", "-o", "json").stdout); document["token"] != nil || document["cluster"] == nil {
		t.Errorf("-o json gives %v", document)
	}
}

func TestNothingIsWaitedForAfterADryRun(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"apply -f x.yaml", "delete ks/app", "reconcile ks/app", "resume ks/app"} {
		newFleet(t).fails(exitUsage, []string{"--wait: after --dry-run there is nothing to wait for"}, append(strings.Fields(args), "--wait", "--dry-run")...)
	}
}
