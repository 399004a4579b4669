package main

import (
	"strings"
	"testing"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// served is what a hub shows once the request is served.
func served(object string) string {
	return strings.Replace(object, "status:\n", "status:\n  lastHandledReconcileAt: \""+requestedAt+"\"\n", 1)
}

func TestReconcileReturnsWhenTheRequestIsRecorded(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	r := b.ok("reconcile", "ks/app@prod-1", "--with-source")
	want(t, "stdout", r.stdout, "kustomization.kustomize.toolkit.fluxcd.io/app@prod-1 requested")
	wantTexts(t, "stderr", r.stderr, "► asking for a look at ks/app@prod-1", "✔ requested at "+requestedAt)
	request := requestsOf[*adminv1.ReconcileRequest](b.hub)[0]
	if request.GetCluster() != "prod-1" || !request.GetWithSource() || request.GetNamespace() != "apps" {
		t.Errorf("asked %v", request)
	}
	document := parseJSON(t, b.ok("reconcile", "ks/app", "-o", "json").stdout)
	if document["requestedAt"] != requestedAt || document["name"] != "app" {
		t.Errorf("-o json gives %v", document)
	}
}

func TestReconcileWaitsUntilTheRequestIsServed(t *testing.T) {
	t.Parallel()
	b := newFleet(t) // ready, but of an earlier request
	r := b.start("reconcile", "ks/app", "--wait", "--timeout", "1h")
	r.stderr.says(t, "waiting for ks/app to be reconciled")
	b.hub.put(t, served(ksApp))
	if code := r.wait(); code != 0 {
		t.Fatalf("exit %d: %s", code, r.stderr)
	}
	want(t, "stdout", r.stdout.String(), "kustomization.kustomize.toolkit.fluxcd.io/app reconciled")
	wantTexts(t, "stderr", r.stderr.String(), "✔ ks/app is at revision main@sha1:696f056d")
}

func TestReconcileWithSourceWaitsForTheSourcesNewRevision(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.source = &adminv1.ReconcileResponse{SourceKind: "GitRepository", SourceNamespace: "apps", SourceName: "app"}
	r := b.start("reconcile", "ks/app", "--with-source", "--wait", "--timeout", "1h")
	r.stderr.says(t, "waiting for gitrepo/app to be reconciled")
	b.hub.put(t, served(strings.ReplaceAll(gitApp, "696f056d", "ffff056d")))
	r.stderr.says(t, "✔ gitrepo/app is at revision main@sha1:ffff056d")
	b.hub.put(t, served(ksApp)) // the request is served before the news come
	r.stderr.says(t, "revision main@sha1:ffff056d is not there yet")
	b.hub.put(t, served(strings.ReplaceAll(ksApp, "696f056d", "ffff056d")))
	if code := r.wait(); code != 0 {
		t.Fatalf("exit %d: %s", code, r.stderr)
	}
}

// Flux has no reconcile of an ExternalArtifact either.
func TestReconcileWithASourceThatIsPushedIsForTheAppAlone(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.source = &adminv1.ReconcileResponse{SourceKind: "ExternalArtifact", SourceNamespace: "apps", SourceName: "app"}
	b.hub.put(t, served(ksApp))
	r := b.ok("reconcile", "ks/app", "--with-source", "--wait", "--timeout", "1h")
	wantTexts(t, "stderr", r.stderr, "ea/app is not asked: what it has is pushed", "✔ ks/app is at revision main@sha1:696f056d")
	if strings.Contains(r.stderr, "waiting for ea/app") {
		t.Errorf("it waits for what nobody asks: %s", r.stderr)
	}
}

func TestReconcileFailsAtOnceWithWhatTheClustersReported(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, object string
		code         exitCode
		text         string
	}{
		{"stalled", ksStalled, exitFailed, "no such path ./deploy"},
		{"failed everywhere", strings.Replace(ksProgressing, "status: Unknown, reason: Progressing", `status: "False", reason: HealthCheckFailed`, 1), exitFailed, "HealthCheckFailed"},
		{"failed somewhere", strings.NewReplacer("status: Unknown, reason: Progressing", `status: "False", reason: HealthCheckFailed`, "progressing: 2", "failed: 2").Replace(ksProgressing), exitPartial, "HealthCheckFailed"},
		{"suspended", strings.Replace(ksApp, "interval: 10m", "interval: 10m, suspend: true", 1), exitFailed, "fleetctl resume ks/app"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			b.hub.put(t, served(test.object))
			b.fails(test.code, []string{test.text, "try: fleetctl describe ks/app -n apps"}, "reconcile", "ks/app", "--wait", "--timeout", "1h")
		})
	}
}

func TestReconcileOfAMissingNameExits3AndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	r := b.fails(exitNotFound, []string{"1 of 2 objects: could not reconcile", "ks/nope"}, "reconcile", "ks/nope", "ks/app")
	want(t, "stdout", r.stdout, "kustomization.kustomize.toolkit.fluxcd.io/app requested")
}

func TestSuspendAndResumeSayWhatTheyDid(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	want(t, "suspend", b.ok("suspend", "ks/app", "gitrepo/app").stdout, `
kustomization.kustomize.toolkit.fluxcd.io/app suspended
gitrepository.source.toolkit.fluxcd.io/app suspended`)
	want(t, "resume", b.ok("resume", "ks/app").stdout, "kustomization.kustomize.toolkit.fluxcd.io/app resumed")
	if document := parseJSON(t, b.ok("suspend", "ks/app", "-o", "json").stdout); document["kind"] != "Kustomization" {
		t.Errorf("-o json gives %v", document)
	}
	b.hub.put(t, served(ksApp))
	wantTexts(t, "stderr", b.ok("resume", "ks/app", "--wait").stderr, "✔ ks/app is at revision main@sha1:696f056d")
}

func TestSuspendAndResumeTakeAllOfAKindInTheNamespace(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.put(t, strings.Replace(ksApp, "name: app, namespace: apps", "name: second, namespace: apps", 1)+"\n---\n"+
		strings.Replace(ksApp, "name: app, namespace: apps", "name: app, namespace: other", 1))
	for _, verb := range []string{"suspend", "resume"} {
		want(t, verb, b.ok(verb, "ks", "--all", "-o", "name").stdout, `
kustomization.kustomize.toolkit.fluxcd.io/app
kustomization.kustomize.toolkit.fluxcd.io/second`)
	}
	for _, request := range requestsOf[*adminv1.SuspendRequest](b.hub) {
		if request.GetNamespace() != "apps" {
			t.Errorf("sent %v", request)
		}
	}
	r := b.ok("suspend", "sources", "--all", "-n", "empty")
	want(t, "stdout", r.stdout, "")
	wantTexts(t, "stderr", r.stderr, "No sources found in namespace empty")
	for args, n := range map[string]int{"resume ks --all": 2, "resume ks --all -n other": 1, "suspend ks --all -n empty": 0} {
		if items, ok := parseJSON(t, b.ok(append(strings.Fields(args), "-o", "json")...).stdout)["items"].([]any); !ok || len(items) != n {
			t.Errorf("%s -o json gives %v", args, items)
		}
	}
}
