package api_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// many is how many clusters a large fleet has. Their names are as long as names may be.
const many = 10_000

// newLargeFleet is an App under a RolloutPolicy on many clusters, each of which is frozen for a reason that is long, too.
func newLargeFleet(t *testing.T) *rolled {
	t.Helper()
	f := &rolled{bundle: newBundle(t)}
	for _, object := range []string{policyYAML("prod", canaryFirst), gitYAML, ksYAML, placementYAML("app", managedEverywhere)} {
		f.apply(object)
	}
	f.push("one")
	f.sql(`INSERT INTO object (home, kind, namespace, name, labels, spec)
		SELECT 'hub', 'Cluster', '', rpad('c-' || n, 253, 'x'), '{"tier": "prod"}', '{}' FROM generate_series(1, $1) n`, many)
	f.sql(`INSERT INTO cluster (id, name, enrolled_at, connected) SELECT uid, name, now(), true FROM object WHERE kind = 'Cluster'`)
	f.sql(`INSERT INTO frozen (cluster, frozen, reason, actor) SELECT id, true, repeat('r', 200), 'user:admin' FROM cluster`)
	f.sql(`ANALYZE`)
	return f
}

// sql changes the database beside the store.
func (b *bundle) sql(query string, args ...any) {
	b.t.Helper()
	conn, err := pgx.Connect(b.ctx, b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close(b.ctx)
	if _, err := conn.Exec(b.ctx, query, args...); err != nil {
		b.t.Fatal(err)
	}
}

// pageLimit is what a page has at most, and what little the frame of its entries adds.
const pageLimit = 2<<20 + 256<<10

// pages asks for one page after the other, and checks that each is a message, and that all together have every name once.
func pages(t *testing.T, what string, wanted int, next func(token string) (page proto.Message, names []string, following string, err error)) {
	t.Helper()
	var all []string
	n := 0
	for token := ""; ; n++ {
		page, names, following, err := next(token)
		if err != nil {
			t.Fatalf("%s, page %d: %v", what, n+1, err)
		}
		if size := proto.Size(page); size > pageLimit {
			t.Errorf("%s: page %d has %d bytes", what, n+1, size)
		}
		if all = append(all, names...); following == "" {
			break
		}
		if following == token {
			t.Fatalf("%s: page %d ends where it began", what, n+1)
		}
		token = following
	}
	slices.Sort(all)
	if found := len(slices.Compact(all)); found != wanted || len(all) != wanted {
		t.Errorf("%s: %d entries, %d of them different; not %d", what, len(all), found, wanted)
	}
	if n == 0 {
		t.Errorf("%s: one page has all, and shows nothing of where a page ends", what)
	}
}

func TestAnswersAboutManyClustersEndAPageBeforeTheyAreTooLarge(t *testing.T) {
	t.Parallel()
	f := newLargeFleet(t)
	pages(t, "a plan", 2*many, func(token string) (proto.Message, []string, string, error) {
		resp, err := f.rollouts.PlanRollout(f.ctx, &adminv1.PlanRolloutRequest{App: appRollout(), PageToken: token})
		var names []string
		for _, c := range resp.GetClusters() {
			names = append(names, "gets it "+c.GetCluster())
		}
		for _, c := range resp.GetNotTargeted() { // not now: they are held
			names = append(names, "does not "+c.GetCluster())
		}
		return resp, names, resp.GetNextPageToken(), err
	})
	pages(t, "targets", many, func(token string) (proto.Message, []string, string, error) {
		resp, err := f.rollouts.ListTargets(f.ctx, &adminv1.ListTargetsRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", PageToken: token})
		var names []string
		for _, c := range resp.GetTargets() {
			names = append(names, c.GetCluster())
		}
		return resp, names, resp.GetNextPageToken(), err
	})
	pages(t, "what is frozen", many, func(token string) (proto.Message, []string, string, error) {
		resp, err := f.rollouts.GetFreeze(f.ctx, &adminv1.GetFreezeRequest{PageToken: token})
		var names []string
		for _, c := range resp.GetClusters() {
			names = append(names, c.GetCluster())
		}
		return resp, names, resp.GetNextPageToken(), err
	})
	f.sql(`UPDATE object SET labels = '{"tier": "dev"}' WHERE kind = 'Cluster' AND name NOT LIKE 'c-77xxx%'`)
	f.roll()
	pages(t, "what a rollout is not about", many-1, func(token string) (proto.Message, []string, string, error) {
		resp, err := f.rollouts.ListNotTargeted(f.ctx, &adminv1.ListNotTargetedRequest{App: appRollout(), PageToken: token})
		var names []string
		for _, c := range resp.GetNotTargeted() {
			names = append(names, c.GetCluster())
		}
		return resp, names, resp.GetNextPageToken(), err
	})
	frozen, err := f.rollouts.Freeze(f.ctx, &adminv1.FreezeRequest{Reason: "an incident", DryRun: true})
	if n := len(frozen.GetClusters()); err != nil || n == 0 || n+int(frozen.GetMore()) != many || proto.Size(frozen) > pageLimit {
		t.Errorf("frozen are %d clusters and %d more in %d bytes, error %v", n, frozen.GetMore(), proto.Size(frozen), err)
	}
}

func TestListsOfRolloutsAndOfTheirClustersEndAPageBeforeTheyAreTooLarge(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.roll()
	begun := f.current().GetId()
	f.sql(`INSERT INTO rollout (id, app, kind, target, phase, policy, actor, version, created_at)
		SELECT 'large-' || n, r.app, r.kind, r.target, 'Succeeded', jsonb_build_object('waves', jsonb_build_array(jsonb_build_object('name', repeat('w', 30000)))), r.actor, 1, now()
			FROM rollout r, generate_series(1, 200) n`)
	pages(t, "rollouts", 201, func(token string) (proto.Message, []string, string, error) {
		resp, err := f.rollouts.ListRollouts(f.ctx, &adminv1.ListRolloutsRequest{PageSize: 500, PageToken: token})
		var names []string
		for _, r := range resp.GetRollouts() {
			names = append(names, r.GetId())
		}
		return resp, names, resp.GetNextPageToken(), err
	})
	f.sql(`INSERT INTO rollout_member (rollout, cluster, name, wave, turn, phase, message)
		SELECT $1, gen_random_uuid(), 'more-' || n, 1, 100 + n, 'Failed', repeat('m', 4096) FROM generate_series(1, 1500) n`, begun)
	pages(t, "clusters of a rollout", 1503, func(token string) (proto.Message, []string, string, error) {
		resp, err := f.rollouts.ListRolloutClusters(f.ctx, &adminv1.ListRolloutClustersRequest{App: appRollout(), PageSize: 1000, PageToken: token})
		var names []string
		for _, c := range resp.GetClusters() {
			names = append(names, c.GetCluster())
		}
		return resp, names, resp.GetNextPageToken(), err
	})
}

func TestPagesOfAPlanAreOfOnePlan(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	request := &adminv1.PlanRolloutRequest{App: appRollout(), PageSize: 2}
	var got []string
	for {
		page, err := f.rollouts.PlanRollout(f.ctx, request)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.GetClusters() {
			got = append(got, c.GetCluster())
		}
		for _, c := range page.GetNotTargeted() {
			got = append(got, "not "+c.GetCluster())
		}
		if got = append(got, "|"); page.GetNextPageToken() == "" {
			break
		}
		request.PageToken = page.GetNextPageToken()
	}
	if words := strings.Join(got, " "); words != "canary-1 prod-1 | prod-2 not dev-1 |" {
		t.Errorf("pages %s", words)
	}
	f.push("two")
	_, err := f.rollouts.PlanRollout(f.ctx, request)
	wantCode(t, err, codes.Aborted, "read it from its beginning")
	for _, token := range []string{"x", "sha256:00/x/", "sha256:00/-1/"} {
		_, err = f.rollouts.PlanRollout(f.ctx, &adminv1.PlanRolloutRequest{App: appRollout(), PageToken: token})
		wantCode(t, err, codes.InvalidArgument, "is not where a page of a plan ends")
	}
}
