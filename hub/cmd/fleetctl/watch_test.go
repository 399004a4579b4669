package main

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestWatchReadsFirstAndThenPrintsEachChange(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	r := b.start("get", "ks", "-w")
	r.stdout.says(t, "ready in 3 clusters")
	b.hub.put(t, strings.Replace(ksApp, "ready in 3 clusters", "all is well", 1))
	r.stdout.says(t, "all is well")
	b.hub.remove("Kustomization", "apps", "app", "")
	r.stdout.says(t, "Deleted")
	r.interrupt()
	if code := r.wait(); code != int(exitInterrupted) {
		t.Errorf("exit %d after an interrupt", code)
	}
	want(t, "stdout", r.stdout.String(), `
NAME   REVISION             SUSPENDED   READY   CLUSTERS   MESSAGE
app    main@sha1:696f056d   False       True    3/3        ready in 3 clusters
app    main@sha1:696f056d   False       True    3/3        all is well
app    -                    False       Deleted   0/0        deleted`)
	want(t, "stderr", r.stderr.String(), "")
}

func TestWatchGoesOnAfterTheHubWasAway(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	r := b.start("get", "ks", "-w", "-o", "json")
	r.stdout.says(t, "ready in 3 clusters")
	b.hub.put(t, strings.Replace(ksApp, "ready in 3 clusters", "changed before", 1))
	r.stdout.says(t, "changed before")
	b.hub.fail("Watch", status.Error(codes.Unavailable, "the hub is down"))
	b.hub.cutStreams()
	r.stderr.says(t, "the connection to the hub is lost")
	b.hub.put(t, strings.Replace(ksApp, "ready in 3 clusters", "changed meanwhile", 1))
	b.hub.fail("Watch", nil)
	r.stdout.says(t, "changed meanwhile")
	r.interrupt()
	r.wait()
	if lines := strings.Count(r.stdout.String(), "\n"); lines != 3 {
		t.Errorf("%d documents, want one at first and one a change:\n%s", lines, r.stdout)
	}
	if tokens := b.hub.tokens; len(tokens) != 2 || tokens[0] == tokens[1] {
		t.Errorf("watched from %v: the second time it goes on from where it was", tokens)
	}
	if lists := len(requestsOf[*adminv1.ListRequest](b.hub)); lists != 1 {
		t.Errorf("listed %d times: the hub tells what happened meanwhile", lists)
	}
}

func TestWatchListsAnewWhenItsTokenIsUnknownAndTellsOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	r := b.start("get", "clusters", "-w", "-o", "json", "--output-watch-events")
	r.stdout.says(t, "prod-2")
	b.hub.mu.Lock() // both happen while nobody watches
	delete(b.hub.objects, objectKey{kind: "Cluster", name: "prod-2"})
	b.hub.mu.Unlock()
	b.hub.forget()
	r.stdout.says(t, `{"type":"DELETED"`)
	b.hub.put(t, strings.Replace(clusterProd, "1 app failed", "2 apps failed", 1))
	r.stdout.says(t, "2 apps failed")
	r.interrupt()
	r.wait()
	var kinds []string
	for line := range strings.Lines(r.stdout.String()) {
		kinds = append(kinds, parseJSON(t, line)["type"].(string))
	}
	if got := strings.Join(kinds, " "); got != "ADDED ADDED DELETED MODIFIED" {
		t.Errorf("events %s", got)
	}
}

func TestWatchOfSeveralKindsFollowsAllOfThem(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	r := b.start("get", "ks,clusters", "-w", "-o", "name")
	r.stdout.says(t, "kustomization.kustomize.toolkit.fluxcd.io/app")
	r.stdout.says(t, "cluster.fleet.flotilla.dev/prod-2")
	b.hub.put(t, strings.ReplaceAll(ksApp, "name: app, namespace", "name: second, namespace"))
	b.hub.put(t, strings.ReplaceAll(clusterProd, "name: prod-1", "name: prod-9"))
	r.stdout.says(t, "kustomization.kustomize.toolkit.fluxcd.io/second")
	r.stdout.says(t, "cluster.fleet.flotilla.dev/prod-9")
}

func TestWatchEndsAtOnceWhereItCannotGoOn(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.fail("Watch", status.Error(codes.PermissionDenied, "token may not watch kustomizations"))
	b.fails(exitDenied, []string{"token may not watch kustomizations"}, "get", "ks", "-w")
	b.fails(exitNotFound, []string{"ks/nope"}, "get", "ks/nope", "-w")
}

func TestWatchEndsAfterTheTimeoutThatIsGivenAndNoOther(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.fails(exitTimeout, []string{"stopped following after 1ms"}, "get", "ks", "-w", "--timeout", "1ms")
}

func event(minute int, warning bool, reason, cluster string) *adminv1.Event {
	return &adminv1.Event{
		At: timestamppb.New(now.Add(time.Duration(minute-60) * time.Minute)), Warning: warning, Reason: reason, Message: reason + " it is",
		Kind: "Kustomization", Namespace: "apps", Name: "app", Cluster: cluster,
	}
}

func TestEventsAreListedOldestFirst(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.emit(event(10, false, "Applied", "canary-1"))
	broken := event(55, true, "HealthCheckFailed", "prod-1")
	broken.Object = "Deployment/apps/web"
	b.hub.emit(broken)
	want(t, "events", b.ok("events").stdout, `
LAST SEEN   TYPE      REASON              CLUSTER    OBJECT                                         MESSAGE
50m         Normal    Applied             canary-1   Kustomization/apps/app                         Applied it is
5m          Warning   HealthCheckFailed   prod-1     Kustomization/apps/app > Deployment/apps/web   HealthCheckFailed it is`)
	for args, texts := range map[string]string{
		"--types Warning": "HealthCheckFailed", "--for ks/app@prod-1": "HealthCheckFailed", "-c canary-1": "Applied",
		"--for cluster/prod-1": "HealthCheckFailed", "--since 10m": "HealthCheckFailed",
	} {
		r := b.ok(append([]string{"events", "--no-headers"}, strings.Fields(args)...)...)
		if lines := strings.Count(r.stdout, "\n"); lines != 1 || !strings.Contains(r.stdout, texts) {
			t.Errorf("events %s:\n%s", args, r.stdout)
		}
	}
	if items := parseJSON(t, b.ok("events", "-o", "json").stdout)["items"].([]any); len(items) != 2 {
		t.Errorf("-o json has %d events", len(items))
	}
}

func TestNoEventsSaysWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	for args, text := range map[string]string{
		"":                                    "No events found in namespace apps (-A lists all)",
		"-n empty":                            "No events found in namespace empty (-A lists all)",
		"--since 1m":                          "No events found of the last 1m0s in namespace apps (-A lists all)",
		"-A":                                  "No events found",
		"-A --types Warning":                  "No warnings found",
		"--for ks/app":                        "No events found for ks/app in namespace apps",
		"--for ks/app@* --types Warning":      "No warnings found for ks/app in namespace apps",
		"--for ks/app@prod-1 --since 1m":      "No events found for ks/app@prod-1 of the last 1m0s in namespace apps",
		"--for ks/other/app -c prod-1":        "No events found for ks/app@prod-1 in namespace other",
		"--for cluster/prod-1":                "No events found in cluster prod-1",
		"-c prod-1":                           "No events found in cluster prod-1",
		"-c prod-1 -n apps --types Warning":   "No warnings found in cluster prod-1 in namespace apps (-A lists all)",
		"-c prod-1 -A --types Warning,Normal": "No events found in cluster prod-1",
		"--for cluster/prod-1 --since 1h":     "No events found in cluster prod-1 of the last 1h0m0s",
	} {
		want(t, "events "+args, b.ok(append([]string{"events"}, strings.Fields(args)...)...).stderr, "⚠ "+text)
	}
}

func TestEventsAreFollowedEachOnce(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.emit(event(10, false, "First", "canary-1"))
	r := b.start("events", "-w", "-o", "json")
	r.stdout.says(t, "First")
	b.hub.emit(event(20, false, "Second", "canary-1"))
	r.stdout.says(t, "Second")
	b.hub.forget() // the token is unknown now: the list is read again
	b.hub.emit(event(30, false, "Third", "canary-1"))
	r.stdout.says(t, "Third")
	r.interrupt()
	r.wait()
	if lines := strings.Count(r.stdout.String(), "\n"); lines != 3 {
		t.Errorf("%d events, want 3:\n%s", lines, r.stdout)
	}
}

func TestEventsAreFollowedEachOnceThoughTheStreamBreaksAmidThem(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.emit(event(10, false, "First", "canary-1"))
	r := b.start("events", "-w", "-o", "json")
	r.stdout.says(t, "First")
	b.hub.breakAt("Second")
	b.hub.emit(event(20, false, "Second", "canary-1"), event(20, false, "Third", "canary-1"))
	r.stdout.says(t, "Third")
	r.interrupt()
	r.wait()
	if lines := strings.Count(r.stdout.String(), "\n"); lines != 3 {
		t.Errorf("%d events, want 3:\n%s", lines, r.stdout)
	}
}
