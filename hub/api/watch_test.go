package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
	"flotilla.dev/flotilla/test/lab"
)

// patience is how long news may take on a busy machine.
const patience = time.Minute

// follower knows what a List gave and follows it from there, as fleetctl does: what it knows already, as the first answers
// may repeat, is no news.
type follower struct {
	*bundle
	req    *adminv1.ListRequest
	token  string
	known  map[string]string
	stream adminv1.ObjectsService_WatchClient
}

func (b *bundle) list(req *adminv1.ListRequest) *follower {
	b.t.Helper()
	list, err := b.objects.List(b.ctx, req)
	if err != nil {
		b.t.Fatal(err)
	}
	f := &follower{bundle: b, req: req, token: list.GetWatchToken(), known: map[string]string{}}
	for _, raw := range list.GetObjects() {
		f.known[f.name(raw)] = f.steady(raw)
	}
	return f
}

// steady is the object without what moves while nothing changes.
func (f *follower) steady(raw []byte) string {
	f.t.Helper()
	var o struct {
		Metadata map[string]any `json:"metadata"`
		Spec     any            `json:"spec"`
		Status   map[string]any `json:"status"`
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		f.t.Fatal(err)
	}
	delete(o.Metadata, "resourceVersion")
	delete(o.Status, "lastSeen")
	return fmt.Sprint(o)
}

// watch goes on from the last token.
func (f *follower) watch() *follower {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, patience)
	f.t.Cleanup(cancel)
	stream, err := f.objects.Watch(ctx, &adminv1.WatchRequest{Kind: f.req.GetKind(), Namespace: f.req.GetNamespace(), Name: f.req.GetName(),
		Cluster: f.req.GetCluster(), LabelSelector: f.req.GetLabelSelector(), WatchToken: f.token})
	if err != nil {
		f.t.Fatal(err)
	}
	f.stream = stream
	return f
}

// name is "name" or "name@cluster".
func (f *follower) name(raw []byte) string {
	f.t.Helper()
	var o shown
	if err := json.Unmarshal(raw, &o); err != nil {
		f.t.Fatal(err)
	}
	if cluster := o.Metadata.Annotations["fleet.flotilla.dev/cluster"]; cluster != "" {
		return o.Metadata.Name + "@" + cluster
	}
	return o.Metadata.Name
}

// next is the next news, as "changed name" or "deleted name".
func (f *follower) next() string {
	f.t.Helper()
	for {
		resp, err := f.stream.Recv()
		if err != nil {
			f.t.Fatal(err)
		}
		f.token = resp.GetWatchToken()
		if resp.GetEvent() == adminv1.WatchEvent_WATCH_EVENT_BOOKMARK {
			continue
		}
		name := f.name(resp.GetObject())
		before, known := f.known[name]
		switch {
		case resp.GetEvent() == adminv1.WatchEvent_WATCH_EVENT_DELETED && known:
			delete(f.known, name)
			return "deleted " + name
		case resp.GetEvent() == adminv1.WatchEvent_WATCH_EVENT_CHANGED && before != f.steady(resp.GetObject()):
			f.known[name] = f.steady(resp.GetObject())
			return "changed " + name
		}
	}
}

func (f *follower) wants(news ...string) {
	f.t.Helper()
	for _, want := range news {
		if got := f.next(); got != want {
			f.t.Errorf("%s, want %s", got, want)
		}
	}
}

// unplace takes the App away from a cluster, and the cluster's spoke lets go of it.
func (b *bundle) unplace(cluster string) {
	b.t.Helper()
	b.apply(clusterYAML(cluster, "dev"))
	b.roll()
	b.report(cluster, func(r *fleet.Report) { r.Stage = fleet.StageRemoved })
	b.roll()
}

func (b *bundle) exec(sql string) {
	b.t.Helper()
	conn, err := pgx.Connect(b.ctx, b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = conn.Close(b.ctx) }()
	if _, err := conn.Exec(b.ctx, sql); err != nil {
		b.t.Fatal(err)
	}
}

func TestInstanceThatVanishesWhileNobodyWatchesIsTold(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	b.report("prod-1", ok)
	b.report("prod-2", ok)
	everywhere := b.list(&adminv1.ListRequest{Kind: "Kustomization", Cluster: "*"})
	there := b.list(&adminv1.ListRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Cluster: "prod-1"})
	elsewhere := b.list(&adminv1.ListRequest{Kind: "Kustomization", Cluster: "prod-2"})
	b.unplace("prod-1")
	everywhere.watch().wants("deleted app@prod-1")
	there.watch().wants("deleted app@prod-1")
	elsewhere.watch()
	b.report("prod-2", func(r *fleet.Report) { r.Objects = 2 })
	elsewhere.wants("changed app@prod-2")
}

// Whoever waits for an instance to go sees it go with its cluster, before and after the watch began.
func TestInstanceGoesWithItsCluster(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	req := &adminv1.ListRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Cluster: "prod-1"}
	before, after := b.list(req).watch(), b.list(req)
	b.delete("Cluster", "", "prod-1")
	before.wants("deleted app@prod-1")
	after.watch().wants("deleted app@prod-1")
	if list := b.list(req); len(list.known) != 0 {
		t.Errorf("listed %v; want nothing", list.known)
	}
	_, err := b.objects.Get(b.ctx, &adminv1.GetRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Cluster: "prod-1"})
	wantCode(t, err, codes.NotFound, "Kustomization/apps/app@prod-1")
	_, err = b.objects.List(b.ctx, &adminv1.ListRequest{Kind: "Kustomization", Cluster: "nowhere"})
	wantCode(t, err, codes.NotFound, "Cluster/nowhere")
	b.apply(clusterYAML("prod-1", "prod")) // another one of that name
	b.roll()
	b.report("prod-1", ok)
	before.wants("changed app@prod-1")
}

func TestObjectThatIsNoLongerSelectedIsGoneForItsWatcher(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(clusterYAML("one", "prod"))
	b.apply(clusterYAML("two", "prod"))
	f := b.list(&adminv1.ListRequest{Kind: "Cluster", LabelSelector: "tier=prod"})
	b.apply(clusterYAML("one", "dev"))
	f.watch().wants("deleted one")
	b.apply(clusterYAML("two", "dev"))
	f.wants("deleted two")
}

// The instance stays until its cluster has let go of it, without the labels.
func TestInstanceWhoseLabelsWentWithItsAppIsNoLongerSelected(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	b.apply(strings.Replace(ksYAML, `"metadata":{`, `"metadata":{"labels":{"tier":"web"},`, 1))
	f := b.list(&adminv1.ListRequest{Kind: "Kustomization", Cluster: "prod-1", LabelSelector: "tier=web"})
	b.delete("Kustomization", "apps", "app")
	f.watch().wants("deleted app@prod-1")
}

func TestWatchThatBreaksAmidTheNewsGoesOnWithTheRest(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	f := b.list(&adminv1.ListRequest{Kind: "Cluster"})
	b.apply(clusterYAML("one", "prod"))
	b.apply(clusterYAML("two", "prod"))
	f.watch().wants("changed one")
	f.watch().wants("changed two")
}

// Deletions are remembered for an hour; a watcher that was away for longer has to list again.
func TestWatchFromBeforeWhatIsForgottenHasToListAgain(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(clusterYAML("old", "prod"))
	f := b.list(&adminv1.ListRequest{Kind: "Cluster"})
	b.delete("Cluster", "", "old")
	b.exec(`UPDATE object SET deleted_at = now() - interval '2 hours' WHERE deleted_at IS NOT NULL`)
	ctx, stop := context.WithCancel(b.ctx)
	retained := make(chan error, 1)
	go func() { retained <- b.Retain(ctx, time.Hour) }()
	lab.Eventually(t, patience, "the deletion is forgotten", func() error {
		found, _, err := b.Objects(b.ctx, resource.Query{Kind: "Cluster", Since: 1})
		if err == nil && len(found) > 0 {
			err = fmt.Errorf("%v is there", found)
		}
		return err
	})
	stop()
	if err := <-retained; err != nil {
		t.Error(err)
	}
	_, err := f.watch().stream.Recv()
	wantCode(t, err, codes.OutOfRange, "list again")
	var again *follower
	lab.Eventually(t, patience, "what is listed again can be followed", func() error { // once others' transactions from before have ended
		again = b.list(&adminv1.ListRequest{Kind: "Cluster"}).watch()
		_, err := again.stream.Recv()
		return err
	})
	b.apply(clusterYAML("new", "prod"))
	again.wants("changed new")
	database, _, _ := strings.Cut(f.token, ".")
	f.token = database + ".99999999999"
	_, err = f.watch().stream.Recv()
	wantCode(t, err, codes.OutOfRange, "list again")
}

// Neither heartbeats nor what concerns other objects repeats what a watcher was told.
func TestWatchTellsWhatChangedOnly(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	b.report("prod-1", ok)
	b.report("prod-2", ok)
	apps := b.list(&adminv1.ListRequest{Kind: "Kustomization"}).watch()
	instances := b.list(&adminv1.ListRequest{Kind: "Kustomization", Cluster: "*"}).watch()
	clusters := b.list(&adminv1.ListRequest{Kind: "Cluster"}).watch()
	statuses, err := b.ClusterStatuses(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	session, err := b.OpenSession(b.ctx, statuses["prod-1"].ID, fleet.StateID{}, statuses["prod-1"].Facts)
	if err != nil {
		t.Fatal(err)
	}
	for sequence := range uint64(3) {
		if err := b.StoreReports(b.ctx, session.Cluster, fleet.ReportBatch{Session: session.Number, Sequence: sequence + 1}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		b.report("prod-2", func(r *fleet.Report) {
			r.Ready = fleet.Condition{Status: fleet.False, Reason: fleet.ReasonHealthCheckFailed, Message: "no"}
		})
		apps.wants("changed app")
		instances.wants("changed app@prod-2")
		clusters.wants("changed prod-2")
		b.report("prod-2", ok)
		apps.wants("changed app")
		instances.wants("changed app@prod-2")
		clusters.wants("changed prod-2")
	}
}

// A watch that goes on after a hub's restart is told what changed meanwhile, whatever it follows from.
func TestWatchIsToldWhatFollowsFromOtherObjects(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*bundle){
		"another cluster":           func(b *bundle) { b.apply(clusterYAML("prod-3", "prod")) },
		"a relabelled cluster":      func(b *bundle) { b.apply(clusterYAML("dev-1", "prod")) },
		"a cluster relabelled away": func(b *bundle) { b.apply(clusterYAML("prod-1", "dev")) },
		"a deleted cluster":         func(b *bundle) { b.delete("Cluster", "", "prod-1") },
		"another placement": func(b *bundle) {
			b.apply(placementYAML("app", strings.Replace(prodApp, `"selector":{"matchLabels":{"tier":"prod"}}`, `"names":["prod-1"]`, 1)))
		},
		"a placement of other Apps": func(b *bundle) {
			b.apply(placementYAML("app", strings.Replace(prodApp, `"name":"app"`, `"name":"other"`, 1)))
		},
		"a deleted placement":    func(b *bundle) { b.delete("Placement", "apps", "app") },
		"a disconnected cluster": func(b *bundle) { b.disconnect() },
		"an instance that vanished": func(b *bundle) {
			b.exec(`DELETE FROM assignment WHERE cluster = (SELECT id FROM cluster WHERE name = 'prod-1')`)
		},
		"a build that failed": func(b *bundle) { b.notReleased("main@sha1:2") },
		"a report":            func(b *bundle) { b.report("prod-1", func(r *fleet.Report) { r.Applied = fleet.Digest{} }) },
		"another spec":        func(b *bundle) { b.apply(strings.Replace(ksYAML, "10m", "11m", 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			b.running()
			b.report("prod-1", ok)
			b.report("prod-2", ok)
			f := b.list(&adminv1.ListRequest{Kind: "Kustomization"})
			change(b)
			f.watch().wants("changed app")
		})
	}
}

func (b *bundle) delete(kind, namespace, name string) {
	b.t.Helper()
	if _, err := b.objects.Delete(b.ctx, &adminv1.DeleteRequest{Kind: kind, Namespace: namespace, Name: name, Now: kind == "Cluster"}); err != nil {
		b.t.Fatal(err)
	}
}

// disconnect lets every cluster fall silent.
func (b *bundle) disconnect() {
	b.t.Helper()
	if err := b.DisconnectSilent(b.ctx, -time.Second); err != nil {
		b.t.Fatal(err)
	}
}

// notReleased lets the build of the App's generation fail at a Revision.
func (b *bundle) notReleased(revision fleet.Revision) {
	b.t.Helper()
	failure := fleet.BuildFailure{Generation: b.getApp().Metadata.Generation, Revision: revision, Reason: fleet.ReasonBuildFailed, Message: "no such path"}
	if err := b.NotReleased(b.ctx, appKey, failure); err != nil {
		b.t.Fatal(err)
	}
}
