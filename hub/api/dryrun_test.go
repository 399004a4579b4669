package api_test

import (
	"crypto/md5"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"flotilla.dev/flotilla/pkg/artifact/artifacttest"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// tables is what the database holds, a digest a table. The outbox is left out: it empties by itself.
func (b *bundle) tables() map[string]string {
	b.t.Helper()
	conn, err := pgx.Connect(b.ctx, b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close(b.ctx) //nolint:errcheck // only read from
	rows, err := conn.Query(b.ctx, `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_name <> 'outbox'`)
	if err != nil {
		b.t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(names) < 10 {
		b.t.Fatalf("tables %v, error %v", names, err)
	}
	digests := map[string]string{}
	for _, name := range names {
		rows, err := conn.Query(b.ctx, `SELECT t::text FROM `+pgx.Identifier{name}.Sanitize()+` t`)
		if err != nil {
			b.t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			b.t.Fatal(err)
		}
		slices.Sort(lines)
		digests[name] = fmt.Sprintf("%d rows, %x", len(lines), md5.Sum([]byte(fmt.Sprint(lines))))
	}
	return digests
}

// differing are the tables that are not the same in both.
func differing(before, after map[string]string) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if before[name] != after[name] {
			names = append(names, name)
		}
	}
	return names
}

// heldAndBehind is a fleet with something for every change to act on: an App in two clusters whose deletions are held,
// a suspended Source, and a cluster in safe mode.
func (b *bundle) heldAndBehind() fleet.Digest {
	b.t.Helper()
	b.running()
	set := fleet.PruneDigest([]fleet.ObjectRef{{Kind: "ConfigMap", Namespace: "apps", Name: "a"}})
	held := func(r *fleet.Report) {
		r.HeldPrune, r.Waiting = &fleet.HeldPrune{Digest: set, Count: 1, Reason: "everything would go"}, fleet.WaitingPruneHeld
	}
	b.report("prod-1", held)
	b.report("prod-2", held)
	b.apply(strings.NewReplacer(`"name":"app"`, `"name":"idle"`, `"interval"`, `"suspend":true,"interval"`).Replace(gitYAML))
	statuses, err := b.ClusterStatuses(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	ahead := fleet.StateID{Epoch: 1, Version: 99, Digest: fleet.DigestOf([]byte("ahead"))}
	if _, err := b.OpenSession(b.ctx, statuses["dev-1"].ID, ahead, fleet.ClusterFacts{}); err != nil {
		b.t.Fatal(err)
	}
	return set
}

// reads are the methods that change nothing.
var reads = []string{
	"ObjectsService.Get", "ObjectsService.List", "ObjectsService.Watch", "EventsService.List", "EventsService.Watch",
	"PrunesService.Show", "HubService.Version", "HubService.Status", "AppsService.History", "QuestionsService.Ask",
	"RolloutsService.PlanRollout", "RolloutsService.GetRollout", "RolloutsService.ListRollouts", "RolloutsService.ListRolloutClusters",
	"RolloutsService.ListNotTargeted", "RolloutsService.WatchRollout", "RolloutsService.GetFreeze", "RolloutsService.ListTargets",
}

func TestDryRunTellsWhatWouldHappenAndStoresNothing(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	set := b.heldAndBehind()
	suspended := strings.Replace(ksYAML, `"prune":true`, `"prune":true,"suspend":true`, 1)
	prunes, clusters, admin := adminv1.NewPrunesServiceClient(b.conn), adminv1.NewClustersServiceClient(b.conn), adminv1.NewHubServiceClient(b.conn)
	tested := b.areDry([]dry{
		{"ObjectsService.Apply", func() (string, error) {
			resp, err := b.objects.Apply(b.ctx, &adminv1.ApplyRequest{Object: []byte(suspended), DryRun: true})
			return resp.GetChange().String() + " " + resp.GetImpact().GetSummary(), err
		}, "CHANGE_CONFIGURED it touches 2 clusters"},
		{"ObjectsService.Apply", func() (string, error) {
			resp, err := b.objects.Apply(b.ctx, &adminv1.ApplyRequest{Object: []byte(clusterYAML("new", "prod")), DryRun: true})
			return resp.GetChange().String(), err
		}, "CHANGE_CREATED"},
		{"ObjectsService.Delete", func() (string, error) {
			resp, err := b.objects.Delete(b.ctx, &adminv1.DeleteRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", DryRun: true})
			return resp.GetImpact().GetSummary(), err
		}, "objects may be deleted in 2 clusters"},
		{"ObjectsService.Delete", func() (string, error) {
			resp, err := b.objects.Delete(b.ctx, &adminv1.DeleteRequest{Kind: "Cluster", Name: "prod-1", Now: true, DryRun: true})
			return fmt.Sprint(resp.GetImpact().GetDeletes()), err
		}, "false"},
		{"AppsService.Reconcile", func() (string, error) {
			resp, err := b.apps.Reconcile(b.ctx, &adminv1.ReconcileRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", WithSource: true, DryRun: true})
			return fmt.Sprint(resp.GetRequestedAt(), resp.GetSourceKind(), resp.GetSourceName(), resp.GetClusters()), err
		}, "GitRepositoryapp[prod-1 prod-2]"},
		{"AppsService.Reconcile", func() (string, error) {
			resp, err := b.apps.Reconcile(b.ctx, &adminv1.ReconcileRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Cluster: "prod-1", DryRun: true})
			return fmt.Sprint(resp.GetRequestedAt(), resp.GetClusters()), err
		}, "[prod-1]"},
		{"AppsService.Reconcile", func() (string, error) {
			resp, err := b.apps.Reconcile(b.ctx, &adminv1.ReconcileRequest{Kind: "GitRepository", Namespace: "apps", Name: "app", DryRun: true})
			return fmt.Sprint(resp.GetRequestedAt(), resp.GetClusters()), err
		}, "[]"},
		{"AppsService.Suspend", func() (string, error) {
			resp, err := b.apps.Suspend(b.ctx, &adminv1.SuspendRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", DryRun: true})
			return fmt.Sprint(strings.Contains(string(resp.GetObject()), `"suspend":true`), resp.GetClusters()), err
		}, "true [prod-1 prod-2]"},
		{"AppsService.Resume", func() (string, error) {
			resp, err := b.apps.Resume(b.ctx, &adminv1.ResumeRequest{Kind: "GitRepository", Namespace: "apps", Name: "idle", DryRun: true})
			return fmt.Sprint(strings.Contains(string(resp.GetObject()), "suspend"), resp.GetRequestedAt(), resp.GetClusters()), err
		}, "false[]"},
		{"PrunesService.Approve", func() (string, error) {
			resp, err := prunes.Approve(b.ctx, &adminv1.ApproveRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Digest: set.String(), DryRun: true})
			return fmt.Sprint(resp.GetClusters()), err
		}, "[prod-1 prod-2]"},
		{"ClustersService.Register", func() (string, error) {
			resp, err := clusters.Register(b.ctx, &adminv1.RegisterRequest{Name: "new", DryRun: true})
			return fmt.Sprint(resp.GetToken(), strings.Contains(string(resp.GetCluster()), `"name":"new"`), resp.GetSpokeAddress()), err
		}, "truehub:8443"},
		{"ArtifactsService.Push", func() (string, error) {
			header := pushHeader()
			header.DryRun = true
			resp, err := b.push(header, artifacttest.Archive(map[string]string{"a.yaml": "a: 1\n"}))
			return fmt.Sprint(resp.GetChange(), resp.GetFiles()), err
		}, "CHANGE_CREATED 1"},
		{"HubService.Recover", func() (string, error) {
			resp, err := admin.Recover(b.ctx, &adminv1.RecoverRequest{DryRun: true})
			return fmt.Sprint(resp.GetClusters(), resp.GetSources()), err
		}, "[dev-1] 1"},
	})
	everyChangeIs(t, tested, false)
}

// dry is a dry run of a method: call returns what the answer says.
type dry struct {
	method string
	call   func() (string, error)
	want   string
}

// areDry checks that dry runs say what is wanted of them and change no table. It returns the methods.
func (b *bundle) areDry(runs []dry) (tested []string) {
	b.t.Helper()
	for _, run := range runs {
		before := b.tables()
		got, err := run.call()
		if err != nil {
			b.t.Errorf("%s: %v", run.method, err)
			continue
		}
		if changed := differing(before, b.tables()); len(changed) > 0 {
			b.t.Errorf("%s changed the tables %v", run.method, changed)
		}
		if got != run.want {
			b.t.Errorf("%s says %q, want %q", run.method, got, run.want)
		}
		tested = append(tested, run.method)
	}
	return tested
}

// everyChangeIs checks that every method that changes something, of RolloutsService or of all others, was tested.
func everyChangeIs(t *testing.T, tested []string, ofRollouts bool) {
	t.Helper()
	for _, method := range methods() {
		service := method.Parent().Name()
		short := string(service + "." + method.Name())
		if (service == "RolloutsService") == ofRollouts && !slices.Contains(reads, short) && !slices.Contains(tested, short) {
			t.Errorf("%s changes something and no dry run of it was tested", short)
		}
	}
}

func TestEveryChangeHasADryRun(t *testing.T) {
	t.Parallel()
	for _, method := range methods() {
		if short := string(method.Parent().Name() + "." + method.Name()); !slices.Contains(reads, short) && !canBeDry(method.Input()) {
			t.Errorf("%s has no dry_run", method.FullName())
		}
	}
}

// canBeDry reports whether a request has dry_run; one that comes in parts has it in its header, and one about an App's
// Rollout where that is named.
func canBeDry(request protoreflect.MessageDescriptor) bool {
	for _, part := range []protoreflect.Name{"header", "app"} {
		if field := request.Fields().ByName(part); field != nil {
			request = field.Message()
		}
	}
	return request.Fields().ByName("dry_run") != nil
}

// A dry run is refused for what the change itself would be.
func TestDryRunIsRefusedAsTheChangeWouldBe(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	set := b.heldAndBehind()
	prunes, clusters := adminv1.NewPrunesServiceClient(b.conn), adminv1.NewClustersServiceClient(b.conn)
	_, err := b.apps.Reconcile(b.ctx, &adminv1.ReconcileRequest{Kind: "Kustomization", Namespace: "apps", Name: "other", DryRun: true})
	wantCode(t, err, codes.NotFound, "Kustomization/apps/other")
	_, err = b.apps.Reconcile(b.ctx, &adminv1.ReconcileRequest{Kind: "GitRepository", Namespace: "apps", Name: "idle", DryRun: true})
	wantCode(t, err, codes.FailedPrecondition, "it is suspended")
	_, err = b.apps.Suspend(b.ctx, &adminv1.SuspendRequest{Kind: "Kustomization", Namespace: "apps", Name: "other", DryRun: true})
	wantCode(t, err, codes.NotFound, "Kustomization/apps/other")
	_, err = prunes.Approve(b.ctx, &adminv1.ApproveRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Digest: set.String(), Confirm: 7, DryRun: true})
	wantCode(t, err, codes.FailedPrecondition, "7 clusters were confirmed and 2 hold the set")
	_, err = clusters.Register(b.ctx, &adminv1.RegisterRequest{Name: "No Label", DryRun: true})
	wantCode(t, err, codes.InvalidArgument, "metadata.name")
}

// methods are all of the admin API.
func methods() (all []protoreflect.MethodDescriptor) {
	protoregistry.GlobalFiles.RangeFilesByPackage("flotilla.admin.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			for j := range file.Services().Get(i).Methods().Len() {
				all = append(all, file.Services().Get(i).Methods().Get(j))
			}
		}
		return true
	})
	return all
}
