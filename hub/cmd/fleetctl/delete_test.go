package main

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestDeleteAsksAndSendsWhatWasConfirmed(t *testing.T) {
	t.Parallel()
	impact := &adminv1.Impact{Clusters: 2, Deletes: true, Summary: "deletes the objects of ks/app in prod-1, prod-2"}
	b := newFleet(t)
	b.hub.impact("app", impact)
	b.fails(exitUsage, []string{"this has to be confirmed", "deletes the objects of ks/app in prod-1, prod-2"}, "delete", "ks/app")
	b.ok("get", "ks/app")
	want(t, "dry run", b.ok("delete", "ks/app", "--dry-run").stdout, "kustomization.kustomize.toolkit.fluxcd.io/app deleted (server dry run)")
	b.ok("get", "ks/app")
	b.tty, b.stdin = true, "2\n"
	want(t, "stdout", b.ok("delete", "ks/app").stdout, "kustomization.kustomize.toolkit.fluxcd.io/app deleted")
	requests := requestsOf[*adminv1.DeleteRequest](b.hub)
	if last := requests[len(requests)-1]; last.GetConfirm() != 2 || last.GetDryRun() {
		t.Errorf("sent %v", last)
	}
	b.fails(exitNotFound, []string{"delete ks/app"}, "delete", "ks/app")
	b.ok("delete", "ks/app", "--ignore-not-found")
}

func TestDeleteSaysWhatBecomesOfTheObjects(t *testing.T) {
	t.Parallel()
	for args, check := range map[string]func(*adminv1.DeleteRequest) bool{
		"ks/app --policy orphan": func(r *adminv1.DeleteRequest) bool {
			return r.GetPolicy() == adminv1.DeletePolicy_DELETE_POLICY_ORPHAN
		},
		"ks/app@prod-1 --policy delete": func(r *adminv1.DeleteRequest) bool {
			return r.GetPolicy() == adminv1.DeletePolicy_DELETE_POLICY_DELETE && r.GetCluster() == "prod-1"
		},
		"cluster/prod-1 --now -y": func(r *adminv1.DeleteRequest) bool { return r.GetNow() && r.GetNamespace() == "" },
	} {
		b := newFleet(t)
		b.ok(append([]string{"delete"}, strings.Fields(args)...)...)
		for _, request := range requestsOf[*adminv1.DeleteRequest](b.hub) {
			if !check(request) {
				t.Errorf("delete %s sent %v", args, request)
			}
		}
	}
}

func TestDeleteFromFilesEndsAppsFirstAndClustersLast(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	file := b.write("fleet.yaml", declared+"---\n"+clusterProd+"\n---\n"+secretGit)
	want(t, "stdout", b.ok("delete", "-f", file).stdout, `
kustomization.kustomize.toolkit.fluxcd.io/app deleted
placement.fleet.flotilla.dev/app deleted
gitrepository.source.toolkit.fluxcd.io/app deleted
secret/git deleted
cluster.fleet.flotilla.dev/prod-1 deleted`)
}

func TestDeleteWaitsUntilNoClusterHasTheApp(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	r := b.start("delete", "ks/app", "--wait", "--timeout", "1h")
	r.stderr.says(t, "waiting for ks/app@* to be gone: is still in canary-1, prod-1")
	b.hub.remove("Kustomization", "apps", "app", "prod-1")
	r.stderr.says(t, "is still in canary-1: ")
	b.hub.remove("Kustomization", "apps", "app", "canary-1")
	if code := r.wait(); code != 0 {
		t.Fatalf("exit %d: %s", code, r.stderr)
	}
	want(t, "stdout", r.stdout.String(), `
kustomization.kustomize.toolkit.fluxcd.io/app deleted
kustomization.kustomize.toolkit.fluxcd.io/app condition met`)
}

func TestDeleteWithWaitNamesWhatWentOnce(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.deleted = func(*adminv1.DeleteRequest) { b.hub.removeInstances("Kustomization", "apps", "app") }
	want(t, "-o name", b.ok("delete", "ks/app", "--wait", "-o", "name").stdout, "kustomization.kustomize.toolkit.fluxcd.io/app")
	want(t, "-o name of what times out", newFleet(t).timesOut("delete", "ks/app", "--wait", "-o", "name").stdout, "kustomization.kustomize.toolkit.fluxcd.io/app")
}

func TestDeleteThatTimesOutSaysWhereTheAppStillIs(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	r := b.timesOut("delete", "ks/app", "--wait")
	wantTexts(t, "stderr", r.stderr, "waiting for ks/app@* to be gone", "  is still in canary-1, prod-1", "try: fleetctl get ks/app -n apps -c '*'")
}

// The order is one thing, and the instance that it makes and ends another, which comes later.
func TestDeleteOfWhatOnlyItsSpokeKnowsWaitsUntilThatHasLetGo(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.orders = true
	r := b.start("delete", "ks/old@prod-2", "--policy", "delete", "--wait", "--timeout", "1h")
	r.stderr.says(t, "waiting for cl/prod-2 to hear that ks/old@prod-2 ends")
	old := strings.NewReplacer("name: app, namespace", "name: old, namespace", "canary-1", "prod-2").Replace(instanceCanary)
	b.hub.put(t, old)
	b.hub.put(t, strings.Replace(clusterLost, "unknownAssignments: [Kustomization/apps/old]", "unknownAssignments: []", 1))
	r.stderr.says(t, "waiting for ks/old@prod-2 to be gone")
	b.hub.remove("Kustomization", "apps", "old", "prod-2")
	if code := r.wait(); code != 0 {
		t.Fatalf("exit %d: %s", code, r.stderr)
	}
	want(t, "stdout", r.stdout.String(), `
kustomization.kustomize.toolkit.fluxcd.io/old@prod-2 deleted
kustomization.kustomize.toolkit.fluxcd.io/old@prod-2 condition met`)
}

func TestDeleteConfirmsLessWhereTheDeletionsBeforeDidSomeOfIt(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.put(t, strings.Replace(placementApp, "name: app, namespace", "name: place, namespace", 1))
	b.hub.impact("app", &adminv1.Impact{Clusters: 3, Deletes: true})
	b.hub.impact("place", &adminv1.Impact{Clusters: 3, Deletes: true})
	b.hub.deleted = func(r *adminv1.DeleteRequest) { // as when the rollout ends the App's objects at once
		if r.GetName() == "app" {
			b.hub.impact("place", &adminv1.Impact{})
		}
	}
	b.ok("delete", "ks/app", "placement/place", "--confirm=3")
	b.fails(exitNotFound, nil, "get", "placement/place")
}

func TestDeleteOfWhatIsGoneIsAnEmptyListToAProgram(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	for _, args := range []string{"delete ks/nope --ignore-not-found -o json", "delete ks/nope ks/neither --ignore-not-found -o json", "delete ks/nope --ignore-not-found --dry-run -o json"} {
		if items, ok := parseJSON(t, b.ok(strings.Fields(args)...).stdout)["items"].([]any); !ok || len(items) != 0 {
			t.Errorf("%s prints %v", args, items)
		}
	}
	want(t, "stdout", b.ok("delete", "ks/nope", "--ignore-not-found").stdout, "")
	want(t, "stdout of a dry run", b.ok("delete", "ks/nope", "ks/app", "--ignore-not-found", "--dry-run").stdout, "kustomization.kustomize.toolkit.fluxcd.io/app deleted (server dry run)")
}

func TestDryRunOfADeletionTellsWhatMustGoFirst(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	wantTexts(t, "stderr", b.ok("delete", "gitrepo/app", "ks/app", "--dry-run").stderr, "Warning: gitrepo/app: not before the others are gone: ", "it is used")
	b.fails(exitPrecondition, []string{"it is used"}, "delete", "gitrepo/app", "--dry-run")
}

func TestDeleteOfASourceInUseNamesItsUsers(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.fail("Delete", status.Error(codes.FailedPrecondition, "GitRepository/apps/app: conflict: it is used by Kustomization/apps/app"))
	b.fails(exitPrecondition, []string{"it is used by Kustomization/apps/app"}, "delete", "gitrepo/app")
	b.fails(exitPrecondition, []string{"2 of 2 objects: could not delete", "it is used by"}, "delete", "gitrepo/app", "gitrepo/other")
}

func TestAConfirmationIsAskedForOnceForAllObjects(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.impact("app", &adminv1.Impact{Clusters: 2, Deletes: true})
	b.hub.impact("prod-1", &adminv1.Impact{Clusters: 1, Deletes: true})
	b.tty, b.stdin = true, "2\n"
	r := b.ok("delete", "ks/app", "cluster/prod-1")
	if n := strings.Count(r.stderr, "Type the number"); n != 1 {
		t.Errorf("asked %d times:\n%s", n, r.stderr)
	}
	wantTexts(t, "stdout", r.stdout, "app deleted", "prod-1 deleted")
}

func TestEveryKindHasItsPlaceInTheOrderOfDeletion(t *testing.T) {
	t.Parallel()
	for _, kind := range resource.Kinds() {
		if endRank(kind) < 0 {
			t.Errorf("%s has no place in endOrder", kind.Name)
		}
	}
}

func TestDeleteThatDeletesNothingInClustersAsksWhetherThatIsMeant(t *testing.T) {
	t.Parallel()
	const letsGo, ends = "it lets go of 3 clusters: what is there stays as it is", "it ends rollout ro-7k2f of Kustomization/apps/app, which is Running"
	for _, test := range []struct {
		name, object string
		impact       *adminv1.Impact
		asks         bool
	}{
		{"clusters are let go of", "placement/app", &adminv1.Impact{Clusters: 3, Summary: letsGo}, true},
		{"a rollout ends", "placement/app", &adminv1.Impact{Rollouts: 1, Summary: ends}, true},
		{"both, of an app", "ks/app", &adminv1.Impact{Clusters: 3, Rollouts: 1, Summary: letsGo + "; " + ends}, true},
		{"a rollout loses a cluster", "cluster/prod-1", &adminv1.Impact{Rollouts: 1, Summary: "it takes 1 of 3 clusters out of rollout ro-7k2f"}, true},
		{"nothing", "placement/app", &adminv1.Impact{}, false},
		{"what the hub does not keep", "ks/app@prod-1 --policy orphan", &adminv1.Impact{Clusters: 1, Summary: "it lets go of 1 cluster"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newFleet(t)
			b.hub.impact("app", test.impact)
			b.hub.impact("prod-1", test.impact)
			args := append([]string{"delete"}, strings.Fields(test.object)...)
			if !test.asks {
				b.ok(args...)
				return
			}
			b.fails(exitUsage, []string{"this has to be confirmed, and there is no terminal to ask at", test.impact.GetSummary(), "try: -y"}, args...)
			wantTexts(t, "dry run", b.ok(append(args, "--dry-run")...).stderr, test.impact.GetSummary())
			b.tty, b.stdin = true, "no\n"
			b.fails(exitUsage, []string{"Warning: ", test.impact.GetSummary(), "Type yes to go on: ", "nothing was changed"}, args...)
			b.stdin = "yes\n"
			b.ok(args...)
			requests := requestsOf[*adminv1.DeleteRequest](b.hub)
			if last := requests[len(requests)-1]; last.Confirm != nil || last.GetDryRun() {
				t.Errorf("sent %v", last)
			}
		})
	}
}

func TestDeleteThatDeletesNothingInClustersIsConfirmedByAFlag(t *testing.T) {
	t.Parallel()
	for flag, code := range map[string]exitCode{"-y": exitDone, "--confirm=3": exitDone, "--confirm=2": exitUsage} {
		b := newFleet(t)
		b.hub.impact("app", &adminv1.Impact{Clusters: 3, Rollouts: 1})
		if r := b.run("delete", "placement/app", flag); r.code != int(code) {
			t.Errorf("%s: exit %d: %s", flag, r.code, r.stderr)
		}
	}
}

func TestDeleteAsksOnceWhereOnlySomeOfItDeletesInClusters(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.impact("app", &adminv1.Impact{Clusters: 2, Deletes: true})
	b.hub.impact("prod-1", &adminv1.Impact{Clusters: 1, Summary: "it lets go of 1 cluster"})
	b.fails(exitUsage, []string{"-y is not enough here", "ks/app: objects may be deleted in 2 clusters", "cl/prod-1: it lets go of 1 cluster", "try: --confirm=2"},
		"delete", "ks/app", "cluster/prod-1", "-y")
	b.tty, b.stdin = true, "2\n"
	if r := b.ok("delete", "ks/app", "cluster/prod-1"); strings.Contains(r.stderr, "Type yes") {
		t.Errorf("asked twice:\n%s", r.stderr)
	}
}

// The hub has let go of its Apps by the time that it says what the deletion means.
func TestDeleteOfAClusterNowAsksWhereItHasApps(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.put(t, strings.Replace(clusterProd, "apps: {total: 2", "apps: {total: 0", 1))
	b.ok("delete", "cluster/prod-1", "--now")
	b.hub.put(t, clusterProd)
	b.fails(exitUsage, []string{"cl/prod-1: it lets go of 1 cluster: what is there stays as it is"}, "delete", "cluster/prod-1", "--now")
	b.ok("delete", "cluster/prod-1", "--now", "-y")
}
