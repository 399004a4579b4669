package main

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestCompletionOffersKindsNamesClustersAndContexts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		typed []string
		want  string
	}{
		{[]string{"get", "k"}, "kustomizations ks"},
		{[]string{"get", "ks,pl"}, "ks,placements ks,pl"},
		{[]string{"describe", "ks"}, "ks/"},
		{[]string{"describe", "ks/"}, "ks/app"},
		{[]string{"describe", "ks/app@"}, "ks/app@canary-1 ks/app@prod-1"},
		{[]string{"describe", "ks/app@c"}, "ks/app@canary-1"},
		{[]string{"get", "clusters", "prod-"}, "prod-1 prod-2"},
		{[]string{"get", "ks", "-n", "elsewhere", "ks/"}, ""},
		{[]string{"get", "ks", "-c", "prod-"}, "prod-1 prod-2"},
		{[]string{"events", "--for", "gitrepo/"}, "gitrepo/app"},
		{[]string{"prune", "show", "ks/app", ""}, ""},
		{[]string{"config", "use-context", "o"}, "other"},
	} {
		t.Run(strings.Join(test.typed, " "), func(t *testing.T) {
			t.Parallel()
			r := newFleet(t).ok(append([]string{"__complete"}, test.typed...)...)
			var words []string
			for _, word := range strings.Fields(r.stdout) {
				if !strings.HasPrefix(word, ":") {
					words = append(words, word)
				}
			}
			if got := strings.Join(words, " "); got != test.want {
				t.Errorf("offers %q, want %q", got, test.want)
			}
		})
	}
}

func TestCompletionOffersRolloutsTheirGatesAndClusters(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ typed, want string }{
		{"rollout status k", "kustomizations/ ks/"},
		{"rollout status ", "kustomizations/ ks/ helmreleases/ hr/ ro-7k2f"},
		{"rollout pause ro-", "ro-7k2f"},
		{"rollout plan ro-", ""},
		{"rollout plan ks/", "ks/app"},
		{"rollout approve ks/app --gate ", "soak prod-go"},
		{"rollout approve ro-7k2f --gate p", "prod-go"},
		{"rollout approve ks/nope --gate ", ""},
		{"rollout approve --gate ", ""}, // of none, as yet
		{"rollout skip-gate --wave ", ""},
		{"rollout skip-gate ro-7k2f --wave ", "canary eu rest"},
		{"rollout retry-cluster ks/app ", "eu-2 eu-3 eu-5 us-1 us-2 us-3"},
		{"rollout skip-cluster ro-7k2f eu-2 eu-", "eu-3 eu-5"},
		{"rollout rollback ks/app --scope ", "Failed Wave Updated"},
		{"freeze prod-", "prod-1 prod-2"},
		{"targets pl/", "pl/app"},
		{"get rol", "rolloutpolicies rollouts"},
		{"get ro ", "ro-7k2f"},
		{"get ks/", "ks/app"},
	} {
		t.Run(test.typed, func(t *testing.T) {
			t.Parallel()
			r := newRolling(t).ok(append([]string{"__complete"}, strings.Split(test.typed, " ")...)...)
			var words []string
			for _, word := range strings.Fields(r.stdout) {
				if !strings.HasPrefix(word, ":") {
					words = append(words, word)
				}
			}
			if got := strings.Join(words, " "); got != test.want {
				t.Errorf("offers %q, want %q", got, test.want)
			}
		})
	}
}

func TestCompletionIsSilentAndQuickWhateverTheHubDoes(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.fail("List", status.Error(codes.PermissionDenied, "no"))
	want(t, "stdout", strings.TrimSuffix(strings.TrimSpace(b.ok("__complete", "get", "ks/").stdout), ":4"), "")

	silent := listen(t) // takes connections and never answers
	t.Cleanup(func() { _ = silent.Close() })
	began := time.Now()
	r := b.runReal("__complete", "get", "ks/", "--hub", silent.Addr().String(), "get", "ks/")
	if took := time.Since(began); r.code != 0 || took > 10*completionTimeout {
		t.Errorf("exit %d after %s: %s", r.code, took, r.stderr)
	}
}

func TestCompletionScriptsAreMadeForEveryShell(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if r := newBareBundle(t).ok("completion", shell); !strings.Contains(r.stdout, "fleetctl") {
			t.Errorf("completion %s:\n%s", shell, r.stdout)
		}
	}
}
