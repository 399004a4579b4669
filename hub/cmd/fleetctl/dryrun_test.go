package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// readers are the commands that change nothing at the hub.
var readers = []string{
	"get", "describe", "status", "events", "diff", "tree", "trace", "history", "build", "debug", "api-resources", "wait", "prune show", "cluster list", "version", "help",
	"config view", "config get-contexts", "config use-context", "config set-context", "config delete-context",
	"completion bash", "completion zsh", "completion fish", "completion powershell", "exit-codes",
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
		{"hub recover", "", "prod-1, prod-2 left safe mode; 3 sources resolved anew"},
	} {
		t.Run(test.command+" "+test.args, func(t *testing.T) {
			b := newHeld(t)
			args := append(strings.Fields(test.command), strings.Fields(strings.Replace(test.args, "FILE", b.write("fleet.yaml", declared), 1))...)
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
			}
			lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
			for _, line := range lines {
				if !strings.HasSuffix(line, dryRunMark) {
					t.Errorf("stdout does not say that it is a dry run: %q", line)
				}
			}
			wantTexts(t, "stdout", r.stdout, test.want)
			wantTexts(t, "stdout of the change itself", b.ok(args...).stdout, test.want)
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
