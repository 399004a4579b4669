package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"flotilla.dev/flotilla/test/lab"
)

// app is what Flotilla deploys: a repository with a file for each object.
type app struct {
	bench *bench
	name  string // of the repository, the declared objects and their namespace
	repo  *lab.Repo
	view  *view
}

const clusterName = "bench"

// quietAfterCommit is how long the spoke asks for nothing before a commit counts as done.
const quietAfterCommit = 2 * time.Second

// declared has the intervals that people choose who want drift undone soon, though Flotilla does not need them for it.
const declared = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: NAME, namespace: NAME}
spec: {interval: 1m, url: URL, ref: {branch: main}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: NAME, namespace: NAME}
spec: {interval: 1m, retryInterval: 1m, timeout: 5m, path: ./deploy, prune: true, wait: true, sourceRef: {kind: GitRepository, name: NAME}}
---
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Placement
metadata: {name: NAME, namespace: NAME}
spec:
  apps: [{kind: Kustomization, name: NAME}]
  clusters: {names: [CLUSTER]}
`

// newApp makes an empty repository and the namespace.
func (b *bench) newApp(ctx context.Context, name string) (*app, error) {
	if _, err := b.fleet.Git.NewRepo(name); err != nil {
		return nil, err
	}
	a := &app{bench: b, name: name}
	var err error
	if a.repo, err = b.fleet.Git.Clone(ctx, name, filepath.Join(b.fleet.Dir(), name)); err != nil {
		return nil, err
	}
	return a, createNamespace(ctx, b.client, name)
}

// declare places the app, whose first commit is pushed, and returns when that is in the cluster and ready.
func (a *app) declare(ctx context.Context, commit string) error {
	text := strings.NewReplacer("NAME", a.name, "URL", a.bench.fleet.Git.URL(a.name), "CLUSTER", clusterName).Replace(declared)
	if err := a.bench.fleet.Apply(ctx, text); err != nil {
		return err
	}
	return a.settle(ctx, commit)
}

// write puts the files of objects in place, and the kustomization files.
func (a *app) write(c *corpus, numbers []int) error {
	for name, content := range c.kustomizations() {
		if err := a.repo.Write(name, content); err != nil {
			return err
		}
	}
	for _, i := range numbers {
		file, err := c.file(i)
		if err != nil {
			return err
		}
		if err := a.repo.Write(c.dir()+"/"+c.name(i)+".yaml", file); err != nil {
			return err
		}
	}
	return nil
}

// push commits and pushes, and returns the commit's hash.
func (a *app) push(ctx context.Context) (commit string, err error) {
	if commit, err = a.repo.Commit(ctx, "Change the app"); err != nil {
		return "", err
	}
	return commit, a.repo.Push(ctx)
}

// delivery is how a commit got into the cluster.
type delivery struct {
	pushed, received, applied time.Time
	phases
	// build is the hub's time for builds meanwhile, requests the spoke's until the app was ready again.
	build    time.Duration
	requests lab.Requests
}

// deliver gives some objects new versions in one commit. When it returns, Flotilla has told that the commit is applied.
func (a *app) deliver(ctx context.Context, c *corpus, changed []int) (d delivery, err error) {
	b := a.bench
	before, err := b.member.Requests(ctx)
	if err != nil {
		return d, err
	}
	builds, err := b.fleet.Hub.Metric(ctx, "flotilla_hub_build_seconds_sum")
	if err != nil {
		return d, err
	}
	reached := a.view.expect(c.change(changed))
	if err := a.write(c, changed); err != nil {
		return d, err
	}
	commit, err := a.push(ctx)
	if err != nil {
		return d, err
	}
	d.pushed = time.Now()
	if err := a.fleetctl(ctx, "reconcile", "ks/"+a.name, "--with-source"); err != nil {
		return d, err
	}
	if d.applied, err = a.view.await(ctx, reached, patience); err != nil {
		return d, fmt.Errorf("commit %s: %w", commit, err)
	}
	built, err := b.fleet.Hub.Metric(ctx, "flotilla_hub_build_seconds_sum")
	if err != nil {
		return d, err
	}
	d.build = time.Duration((built - builds) * float64(time.Second))
	if err := a.settle(ctx, commit); err != nil {
		return d, err
	}
	// A request of a person's is served by a pass of its own, which belongs to the commit too.
	if err := b.quiet(ctx, quietAfterCommit); err != nil {
		return d, err
	}
	after, err := b.member.Requests(ctx)
	if err != nil {
		return d, err
	}
	d.requests = after[len(before):].Where(ofSpoke)
	d.phases = phasesOf(d.requests, b.shape)
	d.received, err = b.received(d.pushed, d.dryRun)
	return d, err
}

// received is when the spoke, by its log, accepted the last desired state between two times.
func (b *bench) received(since, until time.Time) (time.Time, error) {
	log, err := b.member.Spoke.Log()
	if err != nil {
		return time.Time{}, err
	}
	last := lastAccepted(log, since, until)
	if last.IsZero() {
		err = fmt.Errorf("the spoke's log tells of no desired state since %s", since.Format(time.RFC3339Nano))
	}
	return last, err
}

// lastAccepted reads slog's text format, whose times are in milliseconds.
func lastAccepted(log string, since, until time.Time) (last time.Time) {
	for line := range strings.Lines(log) {
		if !strings.Contains(line, `msg="desired state accepted"`) {
			continue
		}
		_, rest, _ := strings.Cut(line, "time=")
		text, _, _ := strings.Cut(rest, " ")
		at, err := time.Parse(time.RFC3339Nano, text)
		if err == nil && at.After(since.Truncate(time.Millisecond)) && at.Before(until) {
			last = at
		}
	}
	return last
}

// settle waits until Flotilla says that the commit is applied and ready, and so has nothing more to do.
func (a *app) settle(ctx context.Context, commit string) error {
	return a.fleetctl(ctx, "wait", "ks/"+a.name, "--for=revision="+commit, "--for=ready", "--timeout", patience.String())
}

func (a *app) fleetctl(ctx context.Context, args ...string) error {
	return a.bench.fleet.Fleetctl(ctx, append(args, "--namespace", a.name)...).Err()
}
