package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/test/crowd"
	"flotilla.dev/flotilla/test/lab"
)

const (
	// rolloutKind is the kind whose run has Rollouts over many clusters in place of objects in one.
	rolloutKind = "Rollout"
	rolloutName = "rollout"
)

// rollouts are what is measured of them, one after the other: what was there before is there for the next.
type rollouts struct {
	*bench
	db   *pgx.Conn
	repo *lab.Repo
}

// Three waves, none of which waits for anything but its clusters; the budgets are the default 10 %, and what lets each
// wave use that.
const declaredRollout = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: app, namespace: rollout}
spec: {interval: 1h, url: URL, ref: {branch: main}}
---
apiVersion: fleet.flotilla.dev/v1alpha1
kind: RolloutPolicy
metadata: {name: waves}
spec:
  waves:
    - {name: canary, select: {matchLabels: {tier: canary}}, maxConcurrent: 100%}
    - {name: early, select: {matchLabels: {tier: early}}, maxConcurrent: 100%}
    - {name: late, maxConcurrent: 100%}
`

const declaredApp = `
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: NAME, namespace: rollout}
spec: {interval: 1h, path: ./, prune: true, sourceRef: {kind: GitRepository, name: app}}
---
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Placement
metadata: {name: NAME, namespace: rollout}
spec:
  apps: [{kind: Kustomization, name: NAME}]
  clusters: {selector: {matchLabels: {SELECT}}}
`

// byPolicy is what a Placement has whose Releases go through waves.
const byPolicy = "  rolloutPolicyRef: {name: waves}\n"

func declaredAs(name, label string) string {
	return strings.NewReplacer("NAME", name, "SELECT", label).Replace(declaredApp)
}

// runRollouts measures Rollouts, and stops everything. With an error come the figures that there were by then.
func runRollouts(ctx context.Context, s settings) (report, error) {
	b := &bench{settings: s, shape: shape{kind: rolloutKind}, began: time.Now()}
	r := &rollouts{bench: b}
	err := step(ctx, "start", r.start(ctx))
	if err == nil {
		b.machine.cpu = append(b.machine.cpu, cpuLoop().Seconds())
		err = step(ctx, rolloutName, r.measure(ctx))
		b.machine.cpu = append(b.machine.cpu, cpuLoop().Seconds())
		err = errors.Join(err, b.finish())
	}
	if r.db != nil {
		err = errors.Join(err, r.db.Close(context.WithoutCancel(ctx)))
	}
	return b.report, errors.Join(err, b.stop())
}

func (r *rollouts) start(ctx context.Context) error {
	load, err := loadAverage()
	if err != nil {
		return err
	}
	r.report = report{Kind: rolloutKind, Objects: r.settings.spokes, CPUs: runtime.NumCPU(), LoadBefore: load}
	if r.fleet, err = lab.StartFleet(ctx, lab.FleetConfig{Binaries: r.settings.bin, Fsync: true, Progress: os.Stderr}); err != nil {
		return err
	}
	if r.db, err = pgx.Connect(ctx, r.fleet.DatabaseURL()); err != nil {
		return err
	}
	if _, err := r.fleet.Git.NewRepo("app"); err != nil {
		return err
	}
	r.repo, err = r.fleet.Git.Clone(ctx, "app", filepath.Join(r.fleet.Dir(), "app"))
	return err
}

func (r *rollouts) measure(ctx context.Context) error {
	if err := r.waves(ctx); err != nil {
		return fmt.Errorf("waves: %w", err)
	}
	if err := r.steps(ctx); err != nil {
		return fmt.Errorf("steps: %w", err)
	}
	if err := r.list(ctx); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	return nil
}

// commit changes the app, and has the hub look at the repository.
func (r *rollouts) commit(ctx context.Context, value string, first bool) (commit string, err error) {
	files := map[string]string{
		"kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: app\nresources: [configmap.yaml]\n",
		"configmap.yaml":     "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\ndata: {value: " + value + "}\n",
	}
	for name, content := range files {
		if err := r.repo.Write(name, content); err != nil {
			return "", err
		}
	}
	if commit, err = r.repo.Commit(ctx, "Change the app to "+value); err != nil {
		return "", err
	}
	if err := r.repo.Push(ctx); err != nil || first {
		return commit, err
	}
	return commit, r.fleet.Fleetctl(ctx, "reconcile", "gitrepository/app", "-n", "rollout").Err()
}

// waves times Rollouts over clusters with a session each: the first brings the app, the others change it.
func (r *rollouts) waves(ctx context.Context) (err error) {
	began := time.Now()
	joined, err := crowd.Join(ctx, r.fleet, r.guests())
	defer func() { err = errors.Join(err, joined.Leave()) }()
	if err != nil {
		return err
	}
	r.say("%d clusters have a session after %s", r.settings.spokes, time.Since(began).Round(time.Second/10))
	if _, err := r.commit(ctx, "first", true); err != nil {
		return err
	}
	declared := strings.Replace(declaredRollout, "URL", r.fleet.Git.URL("app"), 1) + declaredAs("app", "spokes: with-session") + byPolicy
	if err := r.fleet.Apply(ctx, declared); err != nil {
		return err
	}
	first, err := r.over(ctx, "app", 1)
	if err != nil {
		return err
	}
	r.say("the app is everywhere after %s", seconds.format(first.took.Seconds()))
	var took, steps, commits sample
	for round := range r.settings.rounds {
		before, err := r.committed(ctx)
		if err != nil {
			return err
		}
		if _, err := r.commit(ctx, fmt.Sprint("change-", round), false); err != nil {
			return err
		}
		done, err := r.over(ctx, "app", round+2)
		if err != nil {
			return err
		}
		after, err := r.committed(ctx)
		if err != nil {
			return err
		}
		took, steps = append(took, done.took.Seconds()), append(steps, float64(done.version))
		commits = append(commits, float64(after-before)/float64(r.settings.spokes))
		r.say("rollout %d of %d took %s", round+1, r.settings.rounds, seconds.format(done.took.Seconds()))
	}
	name := fmt.Sprintf("rollout over %d spokes in 3 waves", r.settings.spokes)
	r.add(figureOf(name, seconds, took, "begun to Succeeded; every cluster has reported").upTo(30))
	r.add(figureOf(name+", first", seconds, sample{first.took.Seconds()}, "the same of the one that brought the app").upTo(30))
	r.add(figureOf(name+", steps", count, steps, "transactions that changed it, each with one batch of writes"))
	r.add(figureOf(name+", commits a spoke", count, commits, "of the whole database meanwhile: states given, reports taken, and the steps"))
	return nil
}

// guests are the clusters with a session: one in a hundred is a canary, and one in five early.
func (r *rollouts) guests() []crowd.Cluster {
	clusters := make([]crowd.Cluster, r.settings.spokes)
	for i := range clusters {
		clusters[i] = crowd.Cluster{Name: fmt.Sprintf("guest-%05d", i), Labels: map[string]string{"tier": tier(i), "spokes": "with-session"}}
	}
	return clusters
}

// tier is that of the n-th cluster.
func tier(n int) string {
	switch {
	case n%100 == 0:
		return "canary"
	case n%5 == 1:
		return "early"
	}
	return "late"
}

// done is a Rollout that is over.
type done struct {
	took    time.Duration
	version int // how many steps changed it
}

// over waits for the end of the n-th Rollout of an App, which has to succeed in all clusters.
func (r *rollouts) over(ctx context.Context, app string, n int) (d done, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	const query = `SELECT phase, reason || ': ' || message, version, coalesce(extract(epoch FROM finished_at - started_at), 0)::float8,
			(SELECT count(*) FROM rollout_member m WHERE m.rollout = r.id AND m.phase <> 'Succeeded')
		FROM rollout r WHERE app LIKE '%/' || $1 AND started_at IS NOT NULL ORDER BY created_at OFFSET $2 LIMIT 1`
	phase, why := "none", ""
	for {
		var took float64
		var left int
		err := r.db.QueryRow(ctx, query, app, n-1).Scan(&phase, &why, &d.version, &took, &left)
		d.took = time.Duration(took * float64(time.Second))
		switch {
		case err == nil && phase == "Succeeded" && left == 0:
			return d, nil
		case err == nil && took > 0:
			return d, fmt.Errorf("rollout %d ended as %s with %d clusters left: %s", n, phase, left, why)
		case err != nil && !errors.Is(err, pgx.ErrNoRows) && ctx.Err() == nil:
			return d, err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return d, fmt.Errorf("rollout %d is %s after %s: %s: %w", n, phase, patience, why, err)
		}
	}
}

// committed is how many transactions the hub's database has committed.
func (r *rollouts) committed(ctx context.Context) (n int64, err error) {
	return n, r.db.QueryRow(ctx, `SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()`).Scan(&n)
}
