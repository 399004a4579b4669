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
	const noPath, suspended = "no such path ./deploy", "it is suspended: fleetctl resume "
	gitStalled := strings.Replace(gitApp, `{type: Ready, status: "True", reason: Succeeded, message: "stored artifact"}`,
		`{type: Ready, status: "False", message: "no address"}, {type: Stalled, status: "True", message: "no address"}`, 1)
	for _, test := range []struct {
		name, object, args string
		texts              []string
	}{
		{"stalled", ksStalled, "ks/app", []string{"ks/app will not be ready as it is", noPath, "try: fleetctl describe ks/app -n apps"}},
		{"stalled, by condition", ksStalled, "ks/app --for=condition=Ready", []string{"ks/app will not have Ready=True as it is", noPath}},
		{"stalled, by condition in other letters", ksStalled, "ks/app --for=condition=ready=true", []string{noPath}},
		{"stalled, its revision", ksStalled, "ks/app --for=revision=ffff056d", []string{noPath}},
		{"stalled source, a revision", gitStalled, "gitrepo/app --for=revision=ffff056d", []string{"gitrepo/app will not be at revision ffff056d as it is", "no address"}},
		{"stalled source, by condition", gitStalled, "gitrepo/app --for=condition=Ready", []string{"no address"}},
		{"suspended", suspend(ksProgressing), "ks/app", []string{suspended + "ks/app -n apps"}},
		{"suspended, by condition", suspend(ksProgressing), "ks/app --for=condition=Ready", []string{suspended}},
		{"suspended, a revision", suspend(gitApp), "gitrepo/app --for=revision=ffff056d", []string{suspended + "gitrepo/app -n apps"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			b.hub.put(t, test.object)
			b.fails(exitFailed, test.texts, append([]string{"wait", "--timeout", "1h"}, strings.Fields(test.args)...)...)
		})
	}
}

const ksPaused = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: apps, generation: 2}
spec: {interval: 10m, prune: true, sourceRef: {kind: GitRepository, name: app}}
status:
  observedGeneration: 2
  lastAttemptedRevision: main@sha1:ffff056df216eea4f9401adbee0ff744d4df390f
  rollout: {id: ro-7, phase: Paused, reason: User}
  conditions:
  - {type: Ready, status: Unknown, reason: RolloutPaused, message: "rollout ro-7 is Paused, wave canary (1/2): lunch"}
  - {type: Reconciling, status: "True", reason: RolloutPaused, message: "rollout ro-7 is Paused, wave canary (1/2): lunch"}
`

func TestWaitEndsAtOnceWhenAPersonHasToActFirst(t *testing.T) {
	t.Parallel()
	for name, object := range map[string]string{
		"paused":          ksPaused,
		"to be started":   queuedFor("AwaitingStart"),
		"without a wave":  queuedFor("UnmatchedClusters"),
		"paused, by hand": served(ksPaused),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			b.hub.put(t, object)
			texts := []string{"ks/app will not be ready before a person acts", "lunch", "try: fleetctl rollout status ks/app -n apps"}
			r := b.fails(exitPerson, texts, "wait", "ks/app", "-q", "--timeout", "1h")
			if strings.Contains(r.stderr, "canary-1:") {
				t.Errorf("clusters are named, of which none is missing:\n%s", r.stderr)
			}
			b.fails(exitPerson, []string{"lunch"}, "wait", "ks/app", "--for=condition=Ready", "-q", "--timeout", "1h")
		})
	}
	b := newBundle(t)
	b.hub.put(t, served(ksPaused))
	b.fails(exitPerson, []string{"ks/app will not be reconciled before a person acts", "lunch"}, "reconcile", "ks/app", "--wait", "-q", "--timeout", "1h")
}

// queuedFor is ksPaused with a Rollout that waits for that reason.
func queuedFor(reason string) string {
	return strings.NewReplacer("reason: User", "queued: ro-8, queuedReason: "+reason, "phase: Paused", "phase: Succeeded", "RolloutPaused", "RolloutQueued").Replace(ksPaused)
}

func TestWaitGoesOnThroughARolloutThatWaitsForAnother(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.put(t, queuedFor("NewerCandidate"))
	wantTexts(t, "stderr", b.timesOut("wait", "ks/app").stderr, "timed out after 1h0m0s waiting for ks/app to be ready", "lunch")
}

// What a cluster is ready at does not tell why the App is not.
func TestWaitThatTimesOutTellsWhyTheAppIsNotReadyBeforeItsClusters(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	behind := strings.NewReplacer("apps, annotations", "apps, generation: 2, annotations", "status:\n", "status:\n  observedGeneration: 1\n").Replace(instanceCanary)
	b.hub.put(t, ksProgressing+"\n---\n"+behind)
	r := b.timesOut("wait", "ks/app")
	wantTexts(t, "stderr", r.stderr, "  Ready is Unknown (Progressing): 1 of 3 clusters\n  canary-1: is at main@sha1:696f056d, and not told of the newest yet\n")
	if strings.Contains(r.stderr, "canary-1: Ready is True") {
		t.Errorf("a cluster is missing as it is ready:\n%s", r.stderr)
	}
}

// suspend is object with spec.suspend.
func suspend(object string) string {
	return strings.Replace(object, "spec: {", "spec: {suspend: true, ", 1)
}

func TestWaitOfWhatIsStalledTakesWhatItIsForTrueAndWaitsForWhatMayCome(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.put(t, ksStalled)
	b.ok("wait", "ks/app", "--for=condition=Stalled", "--for=condition=Ready=False")
	for _, args := range []string{"--for=condition=Healthy", "--for=revision=696f056d"} { // a newer revision may mend it
		wantTexts(t, "stderr", b.timesOut("wait", "ks/app", args).stderr, "timed out after 1h0m0s waiting for ks/app to ")
	}
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
