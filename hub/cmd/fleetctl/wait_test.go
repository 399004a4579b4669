package main

import (
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestWaitReturnsAtOnceForWhatIsTrueAlready(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"ks/app", "ks/app --for=ready", "ks/app --for=revision=696f056d", "ks/app --for=revision=main@sha1:696f056df216eea4f9401adbee0ff744d4df390f",
		"gitrepo/app --for=revision=696f056", "ks/app --for=condition=ready", "ks/app --for=condition=Ready=true", "ks/gone --for=delete",
		"cluster/prod-1 --for=connected", "ks/app@prod-1 --for=connected", "ks/app@canary-1", "ks/app --min-clusters=1", "ks/app --min-clusters=50%",
		"ks/app placement/app", "ks/app --for=ready --for=revision=696f056d", "ks/app --timeout=0", "cluster/prod-1 --for=condition=Ready=False",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			b := newFleet(t)
			b.hub.fail("Watch", status.Error(codes.Internal, "nobody should watch"))
			r := b.ok(append([]string{"wait"}, strings.Fields(args)...)...)
			wantTexts(t, "stdout", r.stdout, "condition met")
			want(t, "stderr", r.stderr, "")
		})
	}
}

func TestWaitFollowsUntilTheConditionIsMet(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.put(t, ksProgressing)
	r := b.start("wait", "ks/app", "--for=ready", "--timeout", "1h")
	r.stderr.says(t, "waiting for ks/app to be ready")
	b.hub.put(t, ksApp)
	if code := r.wait(); code != 0 {
		t.Errorf("exit %d", code)
	}
	want(t, "stdout", r.stdout.String(), "kustomization.kustomize.toolkit.fluxcd.io/app condition met")
}

func TestWaitDoesNotTakeAStatusOfAnOlderSpecForTheAnswer(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.put(t, strings.Replace(ksApp, "observedGeneration: 2", "observedGeneration: 1", 1))
	r := b.start("wait", "ks/app", "--timeout", "1h")
	r.stderr.says(t, "waiting for ks/app")
	b.hub.put(t, ksApp)
	if code := r.wait(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestWaitFailsAtOnceWhenNothingCanHelp(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.put(t, ksStalled)
	b.fails(exitFailed, []string{"ks/app will not be ready as it is", "no such path ./deploy", "try: fleetctl describe ks/app -n apps"},
		"wait", "ks/app", "--timeout", "1h")
	b.hub.put(t, strings.Replace(ksProgressing, "interval: 10m", "interval: 10m, suspend: true", 1))
	b.fails(exitFailed, []string{"fleetctl resume ks/app -n apps"}, "wait", "ks/app", "--timeout", "1h")
}

func TestWaitThatFailsForOneDoesNotWaitForTheOthers(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.put(t, ksStalled)
	b.hub.put(t, strings.Replace(ksProgressing, "name: app, namespace", "name: slow, namespace", 1))
	b.fails(exitFailed, []string{"ks/app"}, "wait", "ks/slow", "ks/app", "--timeout", "1h")
}

func TestWaitThatTimesOutTellsWhichClustersAreMissingAndWhy(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.put(t, ksProgressing+"\n---\n"+instanceCanary+"\n---\n"+instanceBroken)
	const missing = "prod-1: Ready is False (HealthCheckFailed): health check failed [Deployment/apps/web InProgress: ImagePullBackOff: registry/app:2]"
	for _, args := range []string{"ks/app", "ks/app --min-clusters=2"} {
		r := b.timesOut(append([]string{"wait"}, strings.Fields(args)...)...)
		wantTexts(t, "stderr", r.stderr, "timed out after 1h0m0s waiting for ks/app to be ready", missing, "try: fleetctl describe ks/app -n apps")
		if strings.Contains(r.stderr, "canary-1:") {
			t.Errorf("%v names a cluster that is ready:\n%s", args, r.stderr)
		}
	}
	b.fails(exitTimeout, []string{"not yet: ks/app should be ready", missing}, "wait", "ks/app", "--timeout", "0")
}

// timesOut runs a command line whose time is up once it waits.
func (b *bundle) timesOut(args ...string) result {
	b.t.Helper()
	b.expire = make(chan struct{})
	r := b.start(append(args, "--timeout", "1h")...)
	r.stderr.says(b.t, "waiting for")
	close(b.expire)
	code := r.wait()
	b.expire = nil
	if code != int(exitTimeout) {
		b.t.Errorf("exit %d, want %d", code, exitTimeout)
	}
	return result{code, r.stdout.String(), r.stderr.String()}
}

func TestWaitOfAMissingNameExits3ButAnInstanceMayComeLater(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.fails(exitNotFound, []string{"wait for ks/app"}, "wait", "ks/app")
	b.fails(exitNotFound, []string{"wait for ks/app@canary-1"}, "wait", "ks/app@canary-1")
	b.hub.put(t, ksApp+"\n---\n"+strings.Replace(clusterProd, "name: prod-1", "name: canary-1", 1))
	r := b.start("wait", "ks/app@canary-1", "--timeout", "1h")
	r.stderr.says(t, "waiting for ks/app@canary-1")
	b.hub.put(t, instanceCanary)
	if code := r.wait(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestWaitTakesAnInstanceThatOnlyItsSpokeKnows(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.put(t, instanceCanary)
	b.ok("wait", "ks/app@canary-1")
}

func TestWaitForDeletionEndsWhenTheObjectIsGone(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	r := b.start("wait", "ks/app", "--for=delete", "--timeout", "1h")
	r.stderr.says(t, "waiting for ks/app to be gone")
	b.hub.remove("Kustomization", "apps", "app", "")
	if code := r.wait(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestWaitForSoManyClustersIsLostWhenTooManyCannot(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.put(t, strings.Replace(ksStalled, "namespace: apps, generation: 2", `namespace: apps, annotations: {fleet.flotilla.dev/cluster: prod-2}`, 1))
	b.ok("wait", "ks/app", "--min-clusters=1")
	b.fails(exitFailed, []string{"1 of 3 clusters, 3 are enough", "prod-2: Stalled is True"}, "wait", "ks/app", "--min-clusters=100%", "--timeout", "1h")
	wantTexts(t, "stderr", b.timesOut("wait", "ks/app", "--min-clusters=60%").stderr, "prod-1: Ready is False")
}

func TestWaitGoesOnAfterTheHubWasAway(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.put(t, ksProgressing)
	r := b.start("wait", "ks/app", "--timeout", "1h")
	r.stderr.says(t, "waiting for ks/app")
	b.hub.put(t, strings.Replace(ksProgressing, "1 of 3", "2 of 3", 1))
	r.stderr.says(t, "2 of 3 clusters")
	b.hub.cutStreams()
	b.hub.put(t, ksApp)
	if code := r.wait(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

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
	wantTexts(t, "stderr", r.stderr, "No gitrepositories found in namespace empty")
	for args, n := range map[string]int{"resume ks --all": 2, "resume ks --all -n other": 1, "suspend ks --all -n empty": 0} {
		if items, ok := parseJSON(t, b.ok(append(strings.Fields(args), "-o", "json")...).stdout)["items"].([]any); !ok || len(items) != n {
			t.Errorf("%s -o json gives %v", args, items)
		}
	}
}

func TestInterruptedWaitSaysThatTheHubGoesOn(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.put(t, ksProgressing)
	r := b.start("reconcile", "ks/app", "--wait")
	r.stderr.says(t, "waiting for ks/app")
	r.interrupt()
	if code := r.wait(); code != int(exitInterrupted) {
		t.Errorf("exit %d", code)
	}
	wantTexts(t, "stderr", r.stderr.String(), "interrupted", "goes on at the hub")
}

func TestWaitDoesNotTakeTheOldRevisionsReadinessForTheNewOnes(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.put(t, strings.Replace(ksApp, "lastAttemptedRevision: main@sha1:696f056d", "lastAttemptedRevision: main@sha1:ffff056d", 1))
	r := b.start("wait", "ks/app", "--timeout", "1h")
	r.stderr.says(t, "waiting for ks/app")
	b.hub.put(t, strings.ReplaceAll(ksApp, "696f056d", "ffff056d"))
	if code := r.wait(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestWaitHearsOfAnInstanceThatWentWhileNobodyWatched(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"ks/app@prod-1 --for=delete", "ks/app@canary-1 --for=delete"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			b := newFleet(t)
			ref := strings.Fields(args)[0]
			cluster := strings.TrimPrefix(ref, "ks/app@")
			r := b.start(append([]string{"wait", "--timeout", "1h"}, strings.Fields(args)...)...)
			r.stderr.says(t, "waiting for "+ref+" to be gone")
			b.hub.fail("Watch", status.Error(codes.Unavailable, "the hub is down"))
			b.hub.cutStreams()
			r.stderr.says(t, "the connection to the hub is lost")
			b.hub.remove("Kustomization", "apps", "app", cluster) // the hub cannot tell of it later, and of canary-1 it knows no Cluster then
			b.hub.fail("Watch", nil)
			if code := r.wait(); code != 0 {
				t.Errorf("exit %d: %s", code, r.stderr)
			}
		})
	}
}

func TestWaitHearsOfAnInstanceThatWentBetweenTheListAndTheWatch(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	gone := sync.OnceFunc(func() { b.hub.remove("Kustomization", "apps", "app", "prod-1") })
	b.hub.listed = func(r *adminv1.ListRequest) {
		if r.GetCluster() == "prod-1" {
			gone()
		}
	}
	if code := b.start("wait", "ks/app@prod-1", "--for=delete", "--timeout", "1h").wait(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestInstanceInAClusterThatIsGoneIsGone(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.ok("wait", "ks/app@nowhere", "--for=delete")
	r := b.start("wait", "ks/app@canary-1", "--for=delete", "--timeout", "1h")
	r.stderr.says(t, "waiting for ks/app@canary-1 to be gone")
	b.hub.remove("Kustomization", "apps", "app", "canary-1") // and with it all that is known of the cluster
	if code := r.wait(); code != 0 {
		t.Errorf("exit %d: %s", code, r.stderr)
	}
}

func TestInterruptBeforeAnythingWasAskedSaysThatNothingChanged(t *testing.T) {
	t.Parallel()
	t.Run("at the prompt", func(t *testing.T) {
		t.Parallel()
		b := newFleet(t)
		b.hub.impact("app", &adminv1.Impact{Clusters: 2, Deletes: true})
		b.tty, b.typing = true, newReading()
		r := b.start("delete", "ks/app")
		r.stderr.says(t, "Type the number of clusters")
		r.interrupt()
		if code := r.wait(); code != int(exitInterrupted) {
			t.Errorf("exit %d", code)
		}
		wantTexts(t, "stderr", r.stderr.String(), "interrupted: nothing was changed")
	})
	t.Run("while stdin is read", func(t *testing.T) {
		t.Parallel()
		for _, args := range []string{"apply -f -", "delete -f -", "config set-context new --token-stdin"} {
			b := newFleet(t)
			reading := newReading()
			b.typing = reading
			r := b.start(strings.Fields(args)...)
			<-reading.begun
			r.interrupt()
			if code := r.wait(); code != int(exitInterrupted) {
				t.Errorf("%s: exit %d", args, code)
			}
			wantTexts(t, "stderr", r.stderr.String(), "interrupted: nothing was changed")
		}
	})
}

func TestInterruptAfterAChangeSaysHowToFollowIt(t *testing.T) {
	t.Parallel()
	for args, follow := range map[string]string{
		"reconcile ks/app --wait":             "try: fleetctl get ks/apps/app -w",
		"delete ks/app --wait":                "try: fleetctl wait ks/apps/app --for=delete",
		"apply -f FILE --wait":                "try: fleetctl get gitrepo/apps/app ks/apps/app pl/apps/app -w",
		"reconcile ks/app@prod-1 --wait":      "try: fleetctl get ks/apps/app@prod-1 -w",
		"resume ks/app --wait":                "try: fleetctl get ks/apps/app -w",
		"reconcile gitrepo/app ks/app --wait": "try: fleetctl get gitrepo/apps/app -w",
	} {
		b := newFleet(t)
		b.hub.put(t, ksProgressing)
		r := b.start(strings.Fields(strings.Replace(args, "FILE", b.write("fleet.yaml", declared), 1))...)
		r.stderr.says(t, "waiting for")
		r.interrupt()
		if code := r.wait(); code != int(exitInterrupted) {
			t.Errorf("%s: exit %d", args, code)
		}
		wantTexts(t, args, r.stderr.String(), "Error: interrupted\n  what was asked for goes on at the hub\n  "+follow)
	}
}
