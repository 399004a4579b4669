package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/test/lab"
)

// app is what Flotilla deploys: a repository with a file for each ConfigMap of a corpus.
type app struct {
	fleet  *lab.Fleet
	repo   *lab.Repo
	corpus *corpus
	view   *view
}

const (
	appName     = "app" // of the repository, the declared objects and their namespace
	clusterName = "bench"
)

// declared has the intervals that people choose who want drift undone soon, though Flotilla does not need them for it.
const declared = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: app, namespace: app}
spec: {interval: 1m, url: URL, ref: {branch: main}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: app}
spec: {interval: 1m, retryInterval: 1m, timeout: 5m, path: ./deploy, prune: true, wait: true, sourceRef: {kind: GitRepository, name: app}}
---
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Placement
metadata: {name: app, namespace: app}
spec:
  apps: [{kind: Kustomization, name: app}]
  clusters: {names: [CLUSTER]}
`

// newApp returns when its objects are in the cluster.
func newApp(ctx context.Context, fleet *lab.Fleet, client kubernetes.Interface, size int) (*app, error) {
	url, err := fleet.Git.NewRepo(appName)
	if err != nil {
		return nil, err
	}
	a := &app{fleet: fleet, corpus: newCorpus(appName, size)}
	if a.repo, err = fleet.Git.Clone(ctx, appName, filepath.Join(fleet.Dir(), "repo")); err != nil {
		return nil, err
	}
	if err := createNamespace(ctx, client, appName); err != nil {
		return nil, err
	}
	if a.view, err = startView(ctx, client, appName); err != nil {
		return nil, err
	}
	if err := a.deploy(ctx, url); err != nil {
		a.view.stop()
		return nil, err
	}
	return a, nil
}

// deploy brings the first commit into the cluster.
func (a *app) deploy(ctx context.Context, url string) error {
	reached := a.view.expect(a.corpus.change(a.corpus.all()))
	commit, err := a.record(ctx, a.corpus.all())
	if err != nil {
		return err
	}
	if err := a.repo.Push(ctx); err != nil {
		return err
	}
	if err := a.fleet.Apply(ctx, strings.NewReplacer("URL", url, "CLUSTER", clusterName).Replace(declared)); err != nil {
		return err
	}
	if _, err := a.view.await(ctx, reached); err != nil {
		return err
	}
	return a.settle(ctx, commit)
}

// deliver gives some objects new values in one commit, and returns the time from the return of its push until the last
// new value was seen in the cluster. When it returns, Flotilla has told that the commit is applied.
func (a *app) deliver(ctx context.Context, changed []int) (time.Duration, error) {
	reached := a.view.expect(a.corpus.change(changed))
	commit, err := a.record(ctx, changed)
	if err != nil {
		return 0, err
	}
	if err := a.repo.Push(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := a.fleetctl(ctx, "reconcile", "gitrepo/"+appName); err != nil {
		return 0, err
	}
	seen, err := a.view.await(ctx, reached)
	if err != nil {
		return 0, fmt.Errorf("commit %s: %w", commit, err)
	}
	return seen.Sub(began), a.settle(ctx, commit)
}

// record commits the files of objects, and returns the commit's hash.
func (a *app) record(ctx context.Context, numbers []int) (commit string, err error) {
	for _, i := range numbers {
		if err := a.repo.Write("deploy/"+a.corpus.name(i)+".yaml", a.corpus.file(i)); err != nil {
			return "", err
		}
	}
	return a.repo.Commit(ctx, "Change the app")
}

// settle waits until Flotilla says that the commit is applied and ready, and so has nothing more to do.
func (a *app) settle(ctx context.Context, commit string) error {
	return a.fleetctl(ctx, "wait", "ks/"+appName, "--for=revision="+commit, "--for=ready", "--timeout", patience.String())
}

func (a *app) fleetctl(ctx context.Context, args ...string) error {
	return a.fleet.Fleetctl(ctx, append(args, "--namespace", appName)...).Err()
}
