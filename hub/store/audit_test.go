package store_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// Whatever a person can do is here: a method that takes a Caller and is not in the table fails the test.
func TestEveryChangeByAPersonIsAudited(t *testing.T) {
	t.Parallel()
	one := uint32(1)
	held := fleet.DigestOf([]byte("held"))
	type change struct {
		method, action, object, detail string
		make                           func(ctx context.Context, b *bundle) error
	}
	changes := []change{
		{"ApplyObject", "apply", "GitRepository/apps/app", "", func(ctx context.Context, b *bundle) error {
			_, _, _, err := b.ApplyObject(ctx, admin, object(b.t, gitYAML), fleet.Order{})
			return err
		}},
		{"DeleteObject", "delete", "Kustomization/apps/app", "Orphan, confirmed for 1 clusters", func(ctx context.Context, b *bundle) error {
			_, err := b.DeleteObject(ctx, admin, resource.Deletion{Kind: "Kustomization", Namespace: "apps", Name: "app", Policy: fleet.OrphanObjects, Order: fleet.Order{Confirm: &one}})
			return err
		}},
		{"EndInstance", "delete", "Kustomization/apps/lost@prod-1", "Delete, confirmed for 1 clusters", func(ctx context.Context, b *bundle) error {
			session := b.connect("prod-1", fleet.StateID{})
			lost := fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "lost"}
			if err := b.StoreReports(ctx, session.Cluster, fleet.ReportBatch{Session: session.Number, Sequence: 1, Unknown: []fleet.Key{lost}}); err != nil {
				return err
			}
			_, err := b.EndInstance(ctx, admin, lost, "prod-1", true, fleet.Order{Confirm: &one})
			return err
		}},
		{"RequestReconcile", "reconcile", "Kustomization/apps/app", "", func(ctx context.Context, b *bundle) error {
			_, err := b.RequestReconcile(ctx, admin, "Kustomization", "apps", "app", nil, fleet.LookOptions{})
			return err
		}},
		{"RequestInstance", "reconcile", "Kustomization/apps/app@prod-1", "", func(ctx context.Context, b *bundle) error {
			_, err := b.RequestInstance(ctx, admin, appKey, "prod-1", fleet.LookOptions{})
			return err
		}},
		{"Suspend", "suspend", "Kustomization/apps/app", "", func(ctx context.Context, b *bundle) error {
			_, _, err := b.Suspend(ctx, admin, "Kustomization", "apps", "app", false)
			return err
		}},
		{"Resume", "resume", "Kustomization/apps/app", "", func(ctx context.Context, b *bundle) error {
			_, _, err := b.Resume(ctx, admin, "Kustomization", "apps", "app", false)
			return err
		}},
		{"ApprovePrune", "approve the prune of", "Kustomization/apps/app", held.String(), func(ctx context.Context, b *bundle) error {
			session := b.connect("prod-1", fleet.StateID{})
			report := fleet.Report{App: appKey, Epoch: 1, Generation: 1 << 40, Stage: fleet.StageSettled, Waiting: fleet.WaitingPruneHeld, ObservedAt: time.Now(), HeldPrune: &fleet.HeldPrune{Digest: held, Count: 1}}
			if err := b.StoreReports(ctx, session.Cluster, fleet.ReportBatch{Session: session.Number, Sequence: 1, Reports: []fleet.Report{report}}); err != nil {
				return err
			}
			_, err := b.ApprovePrune(ctx, admin, appKey, "", held, fleet.Order{Confirm: &one})
			return err
		}},
		{"PushArtifact", "push", "ExternalArtifact/apps/pushed", "main@sha1:1", func(ctx context.Context, b *bundle) error {
			b.push("main@sha1:1", "tree", nil)
			return nil
		}},
		{"Ask", "ask", "Cluster/prod-1", "tree of Kustomization/apps/app", func(ctx context.Context, b *bundle) error {
			_, err := b.Ask(ctx, admin, "prod-1", fleet.Ask{What: fleet.AskTree, App: appKey}, time.Minute)
			return err
		}},
		{"RegisterCluster", "register", "Cluster/prod-2", "", func(ctx context.Context, b *bundle) error {
			_, _, err := b.RegisterCluster(ctx, admin, object(b.t, clusterYAML("prod-2", "prod")), fleet.JoinToken{ID: "t", SecretHash: held, TTL: time.Hour}, false, false)
			return err
		}},
		{"AddAdminToken", "add a token", "user:other", "", func(ctx context.Context, b *bundle) error {
			return b.AddAdminToken(ctx, admin, "user:other", held)
		}},
		{"ReplaceAdminTokens", "add a token", "user:other", "ended all others", func(ctx context.Context, b *bundle) error {
			_, err := b.ReplaceAdminTokens(ctx, admin, "user:other", held)
			return err
		}},
		{"BeginRecovery", "recover", "hub", "", func(ctx context.Context, b *bundle) error {
			_, err := b.BeginRecovery(ctx, admin)
			return err
		}},
		{"EndRecovery", "raise the epoch", "hub", "", func(ctx context.Context, b *bundle) error {
			_, err := b.EndRecovery(ctx, admin, false)
			return err
		}},
	}
	for method := range reflect.TypeFor[*store.Store]().Methods() {
		takesCaller := method.Type.NumIn() > 2 && method.Type.In(2) == reflect.TypeFor[fleet.Caller]()
		if takesCaller && !slices.ContainsFunc(changes, func(c change) bool { return c.method == method.Name }) {
			t.Errorf("%s takes a Caller and is not tested here", method.Name)
		}
	}
	for _, test := range changes {
		t.Run(test.method, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			b.running()
			before, err := b.VerifyAudit(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := test.make(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			after, err := b.VerifyAudit(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(after) != len(before)+1 {
				t.Fatalf("%d rows more", len(after)-len(before))
			}
			row := after[len(before)]
			if got, want := fmt.Sprint(row.Principal, "|", row.Action, "|", row.Object, "|", row.Detail), fmt.Sprint(admin.Principal, "|", test.action, "|", test.object, "|", test.detail); got != want {
				t.Errorf("row %q, want %q", got, want)
			}
		})
	}
}

func TestRefusedChangeLeavesNothingInTheAuditLog(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(gitYAML)
	b.apply(ksYAML)
	before, err := b.VerifyAudit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "GitRepository", Namespace: "apps", Name: "app"}); !errors.Is(err, fleet.ErrConflict) {
		t.Fatalf("error %v, not ErrConflict", err)
	}
	if after, err := b.VerifyAudit(t.Context()); err != nil || len(after) != len(before) {
		t.Errorf("%d rows more; error %v", len(after)-len(before), err)
	}
}
