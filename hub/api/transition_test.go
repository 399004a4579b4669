package api_test

import (
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// looked is what was seen of conditions: by object and type.
type looked map[string]struct {
	status string
	since  time.Time
}

// look reads the conditions of everything in the fleet of running.
func (b *bundle) look() looked {
	b.t.Helper()
	seen := looked{}
	for name, o := range map[string]shown{
		"App":        b.getApp(),
		"prod-1":     b.get("Kustomization", "apps", "app", "prod-1"),
		"prod-2":     b.get("Kustomization", "apps", "app", "prod-2"),
		"Cluster":    b.get("Cluster", "", "prod-1", ""),
		"Placement":  b.get("Placement", "apps", "app", ""),
		"Repository": b.get("GitRepository", "apps", "app", ""),
	} {
		for _, c := range o.Status.Conditions {
			seen[name+" "+c.Type] = struct {
				status string
				since  time.Time
			}{c.Status, c.LastTransitionTime}
		}
	}
	return seen
}

// Kubernetes: lastTransitionTime is the last time the condition transitioned from one status to another.
func TestTransitionTimeMovesWithTheStatusOnly(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	upstream := fleet.DigestOf([]byte("upstream"))
	looks := func(look fleet.Looked) func() {
		return func() {
			b.exec(`UPDATE upstream SET due_at = now()`)
			if _, err := b.ClaimUpstreams(b.ctx, 1, nil); err != nil {
				t.Fatal(err)
			}
			if err := b.SaveLook(b.ctx, upstream, look, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
	}
	reports := func(change func(*fleet.Report), clusters ...string) func() {
		return func() {
			for _, cluster := range clusters {
				b.report(cluster, change)
			}
		}
	}
	more := func(r *fleet.Report) { r.Objects++ }
	held := func(r *fleet.Report) {
		r.HeldPrune = &fleet.HeldPrune{Digest: fleet.DigestOf([]byte("set")), Count: 3, Reason: "everything would go"}
	}
	sick := func(r *fleet.Report) { r.Healthy = fleet.Condition{Status: fleet.False, Reason: "Failed"} }
	fetched := fleet.Looked{Revision: "main@sha1:1", Tree: fleet.DigestOf([]byte("tree"))}
	commit := func(revision string) {
		looks(fleet.Looked{Revision: fleet.Revision(revision), Tree: fleet.DigestOf([]byte(revision))})()
	}
	for _, step := range []struct {
		name   string
		change func()
		// moved are conditions that the step is about: they appear, or have another status.
		moved []string
	}{
		{"bind", func() {
			if err := b.BindSource(b.ctx, fleet.Meant{Kind: "GitRepository", Namespace: "apps", Name: "app", Generation: 1, Upstream: upstream, Remote: upstream}); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"fetch", looks(fetched), []string{"Repository Ready", "Repository ArtifactInStorage"}},
		{"fetch again", looks(fetched), nil},
		{"connect", reports(applying, "prod-1"), []string{"Cluster Connected"}},
		{"ready in one", reports(ok, "prod-1"), []string{"prod-1 Ready", "Cluster Ready"}},
		{"connect the other", reports(applying, "prod-2"), nil},
		{"ready in both", reports(ok, "prod-2"), []string{"prod-2 Ready", "App Ready"}},
		{"more objects", reports(more, "prod-1", "prod-2"), nil},
		{"said again", reports(more, "prod-1", "prod-2"), nil},
		{"not healthy", reports(sick, "prod-1"), []string{"prod-1 Healthy"}},
		{"deletions held", reports(held, "prod-1"), []string{"prod-1 PruneHeld", "App PruneHeld", "prod-1 Healthy"}},
		{"deletions still held", reports(func(r *fleet.Report) { held(r); r.Objects = 7 }, "prod-1"), nil},
		{"healthy", reports(ok, "prod-1"), nil},
		{"failed", reports(failing(false, "no"), "prod-2"), []string{"prod-2 Ready", "App Ready"}},
		{"failed otherwise", reports(failing(false, "never"), "prod-2"), nil},
		{"failed for good", reports(failing(true, "never"), "prod-2"), []string{"prod-2 Stalled", "App Stalled"}},
		{"mended", reports(ok, "prod-2"), []string{"prod-2 Ready", "App Ready"}},
		{"another commit, fetched", looks(fleet.Looked{Revision: "main@sha1:2", Tree: fleet.DigestOf([]byte("tree 2"))}), nil},
		{"built", func() { b.release("main@sha1:2", "two") }, []string{"App Ready"}},
		{"rolled out", b.roll, []string{"prod-1 Ready", "prod-2 Ready"}},
		{"applying in one", reports(applying, "prod-1"), nil},
		{"applied in one", reports(ok, "prod-1"), []string{"prod-1 Ready"}},
		{"failed in the other", reports(failing(false, "no"), "prod-2"), []string{"prod-2 Ready", "App Ready"}},
		{"applied in both", reports(ok, "prod-2"), []string{"prod-2 Ready", "App Ready"}},
		{"silence", func() { b.silence("prod-1") }, []string{"prod-1 Ready", "prod-1 Healthy", "App Ready", "Cluster Ready", "Cluster Connected"}},
		{"back", reports(ok, "prod-1"), []string{"prod-1 Ready", "prod-1 Healthy", "App Ready", "Cluster Ready", "Cluster Connected"}},
		{"yet another commit", func() { commit("main@sha1:3"); b.release("main@sha1:3", "three"); b.roll() }, []string{"App Ready", "prod-1 Ready", "prod-2 Ready"}},
		{"silence meanwhile", func() { b.silence("prod-1") }, []string{"Cluster Connected"}},
		{"back, and at it", reports(applying, "prod-1"), []string{"Cluster Connected"}},
		{"all ready", reports(ok, "prod-1", "prod-2"), []string{"prod-1 Ready", "prod-2 Ready", "App Ready"}},
		{"a commit that does not build", func() { commit("main@sha1:4"); b.notReleased("main@sha1:4") }, []string{"App Ready", "App Stalled"}},
		{"nor at the next try", func() { b.notReleased("main@sha1:4") }, nil},
		{"reverted", func() { commit("main@sha1:5"); b.release("main@sha1:5", "three") }, []string{"App Ready"}},
		{"another cluster", func() { b.apply(clusterYAML("dev-1", "prod")) }, []string{"App Ready"}},
		{"assigned there", b.roll, nil},
		{"ready there", reports(ok, "dev-1"), []string{"App Ready"}},
		{"upstream away", looks(fleet.Looked{Reason: "GitOperationFailed", Message: "refused"}), []string{"Repository Ready", "Repository FetchFailed"}},
		{"upstream still away", looks(fleet.Looked{Reason: "GitOperationFailed", Message: "timeout"}), nil},
		{"upstream back", looks(fetched), []string{"Repository Ready"}},
		{"safe mode", func() {
			b.exec(`UPDATE cluster SET safe_mode = 'behind', ahead_epoch = 7 WHERE name = 'prod-1'`)
		}, []string{"Cluster SafeMode", "Cluster Ready"}},
		{"recovered", func() { b.exec(`UPDATE cluster SET safe_mode = '' WHERE name = 'prod-1'`) }, []string{"Cluster SafeMode", "Cluster Ready"}},
		{"no such cluster", func() {
			b.apply(placementYAML("app", `{"apps":[{"kind":"Kustomization","name":"app"}],"clusters":{"selector":{"matchLabels":{"tier":"prod"}},"names":["nowhere"]},"onUnmatch":"Prune"}`))
		}, []string{"Placement Ready"}},
		{"nor this one", func() {
			b.apply(placementYAML("app", `{"apps":[{"kind":"Kustomization","name":"app"}],"clusters":{"selector":{"matchLabels":{"tier":"prod"}},"names":["elsewhere"]},"onUnmatch":"Prune"}`))
		}, nil},
		{"registered", func() { b.apply(clusterYAML("elsewhere", "dev")) }, []string{"Placement Ready", "App Ready"}},
	} {
		before, began := b.look(), time.Now().Truncate(time.Microsecond)
		step.change()
		after := b.look()
		for _, name := range step.moved {
			if was, is := before[name], after[name]; was.status == is.status {
				t.Errorf("%s: %s is %q as before", step.name, name, is.status)
			}
		}
		for name, is := range after {
			was, there := before[name]
			switch {
			case there && was.status == is.status && !was.since.Equal(is.since):
				t.Errorf("%s: %s is %s as before, and since %s instead of %s", step.name, name, is.status, is.since, was.since)
			case (!there || was.status != is.status) && is.since.Before(began):
				t.Errorf("%s: %s is %s now, and that since %s before the change", step.name, name, is.status, began.Sub(is.since))
			}
		}
	}
}
