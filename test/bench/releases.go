package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/kube"
	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/test/lab"
)

// releaseKind is the kind whose run has releases of Helm's in place of objects.
const releaseKind = "HelmRelease"

// releases are so many HelmReleases of one chart, beside as many releases that Helm's SDK keeps in a plain loop: as in a
// script that runs "helm upgrade --install" for each of them, but without a process for each.
type releases struct {
	bench *bench
	names []string // of the HelmReleases, for fleetctl
	chart *lab.Chart
	// plain does not wait for what it installs; waiting does, as the spoke.
	plain, waiting *plainLoop
}

const (
	releasesName = "releases"
	plainName    = "plain-loop"
	waitingName  = "waiting-loop"
)

const declaredRepository = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: charts, namespace: NAMESPACE}
spec: {interval: 1m, url: URL}
---
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Placement
metadata: {name: all, namespace: NAMESPACE}
spec:
  apps: [APPS]
  clusters: {names: [CLUSTER]}
`

const declaredRelease = `
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: NAME, namespace: NAMESPACE}
spec: {interval: 1m, timeout: 5m, chart: {spec: {chart: web, version: 1.x, sourceRef: {kind: HelmRepository, name: charts}}}, values: {name: NAME}}
`

// runReleases measures releases of Helm's, and stops everything. With an error come the figures that there were by then.
func runReleases(ctx context.Context, s settings) (report, error) {
	b := &bench{settings: s, shape: shape{kind: releaseKind}, began: time.Now()}
	err := step(ctx, "start", b.startFleet(ctx, s.releases))
	if err == nil {
		if err = step(ctx, releasesName, b.releases(ctx)); err == nil {
			b.machine.cpu = append(b.machine.cpu, cpuLoop().Seconds())
			err = b.finish()
		}
	}
	return b.report, errors.Join(err, b.stop())
}

func (b *bench) releases(ctx context.Context) (err error) {
	b.machine.cpu = append(b.machine.cpu, cpuLoop().Seconds())
	r := &releases{bench: b}
	if b.client, err = kubernetes.NewForConfig(b.member.REST()); err != nil {
		return err
	}
	for _, namespace := range []string{releasesName, plainName, waitingName} {
		if err := createNamespace(ctx, b.client, namespace); err != nil {
			return err
		}
	}
	if r.chart, err = lab.PackChart(chartFiles); err != nil {
		return err
	}
	repository, err := lab.StartHelmRepo(lab.HelmRepoConfig{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, repository.Stop()) }()
	if err := repository.Add(r.chart); err != nil {
		return err
	}
	if r.plain, err = newPlainLoop(b, r.chart, plainName, kube.HookOnlyStrategy); err != nil {
		return err
	}
	if r.waiting, err = newPlainLoop(b, r.chart, waitingName, kube.StatusWatcherStrategy); err != nil {
		return err
	}
	if err := r.install(ctx, repository.URL()); err != nil {
		return err
	}
	return r.pass(ctx)
}

// install times the installation of all releases, by the spoke and by the loops.
func (r *releases) install(ctx context.Context, url string) error {
	b, n := r.bench, r.bench.settings.releases
	var apps []string
	var text strings.Builder
	for i := range n {
		name := fmt.Sprintf("web-%d", i)
		apps = append(apps, "{kind: HelmRelease, name: "+name+"}")
		r.names = append(r.names, "hr/"+name)
		text.WriteString(strings.NewReplacer("NAMESPACE", releasesName, "NAME", name).Replace(declaredRelease))
	}
	declared := strings.NewReplacer("NAMESPACE", releasesName, "URL", url, "APPS", strings.Join(apps, ", "), "CLUSTER", clusterName).
		Replace(declaredRepository) + text.String()
	spoke, err := b.spent(b.spokeCPU, func() error {
		if err := b.fleet.Apply(ctx, declared); err != nil {
			return err
		}
		return r.fleetctl(ctx, "wait", "--for=ready", "--timeout="+patience.String())
	})
	if err != nil {
		return err
	}
	b.say("%d releases stand that Flotilla installed", n)
	loop, err := b.spent(ownCPU, func() error { return r.plain.upgradeAll(ctx) })
	if err != nil {
		return err
	}
	b.say("%d releases stand that a plain loop installed", n)
	waiting, err := b.spent(ownCPU, func() error { return r.waiting.upgradeAll(ctx) })
	if err != nil {
		return err
	}
	b.say("%d releases stand that a plain loop installed and waited for", n)
	what := fmt.Sprintf("%d installed, ", n)
	theirs, cpu := figureOf(what+"plain loop", seconds, sample{waiting.took}, "by Helm's SDK, one after the other, each waited for"),
		figureOf(what+"plain loop's CPU", seconds, sample{waiting.cpu}, "of the process with the SDK")
	b.add(figureOf(what+"declared to ready", seconds, sample{spoke.took}, "the hub's fetch included, each waited for").compared(theirs))
	b.add(theirs)
	b.add(figureOf(what+"plain loop without waiting", seconds, sample{loop.took}, "the same, nothing waited for").compared(theirs))
	b.add(figureOf(what+"spoke's CPU", seconds, sample{spoke.cpu}, "and that of its processes with the SDK").compared(cpu))
	b.add(cpu)
	b.add(figureOf(what+"plain loop's CPU without waiting", seconds, sample{loop.cpu}, "of the process with the SDK").compared(cpu))
	return nil
}

// pass times passes over all releases in which nothing has changed. A person asks for the spoke's: by itself it would look
// as thoroughly once an hour.
func (r *releases) pass(ctx context.Context) error {
	b, n := r.bench, r.bench.settings.releases
	var spoke, loop struct{ took, cpu sample }
	var calls sample
	for range b.settings.rounds {
		if err := b.quiet(ctx, quietAfterCommit); err != nil {
			return err
		}
		before, err := b.member.Requests(ctx)
		if err != nil {
			return err
		}
		cost, err := b.spent(b.spokeCPU, func() error { return r.fleetctl(ctx, "reconcile", "--wait") })
		if err != nil {
			return err
		}
		after, err := b.member.Requests(ctx)
		if err != nil {
			return err
		}
		ofSpoke := after[len(before):].Where(func(q lab.Request) bool { return ofSpoke(q) || strings.HasPrefix(q.UserAgent, "flotilla-helm/") })
		spoke.took, spoke.cpu, calls = append(spoke.took, cost.took), append(spoke.cpu, cost.cpu), append(calls, float64(len(ofSpoke))/float64(n))
		if cost, err = b.spent(ownCPU, func() error { return r.plain.upgradeAll(ctx) }); err != nil {
			return err
		}
		loop.took, loop.cpu = append(loop.took, cost.took), append(loop.cpu, cost.cpu)
	}
	what := fmt.Sprintf("%d unchanged, ", n)
	theirs, cpu := figureOf(what+"plain loop", seconds, loop.took, "helm upgrade --install by the SDK"),
		figureOf(what+"plain loop's CPU", seconds, loop.cpu, "of the process with the SDK")
	b.add(figureOf(what+"asked to answered", seconds, spoke.took, "a look at each that a person asked for, by way of the hub").compared(theirs))
	b.add(theirs)
	b.add(figureOf(what+"spoke's CPU", seconds, spoke.cpu, "and that of its processes, with what it tells the hub").against(cpu, 1./20))
	b.add(cpu)
	b.add(figureOf(what+"API calls", count, calls, "the spoke's for each release"))
	return nil
}

// fleetctl runs a command on all HelmReleases.
func (r *releases) fleetctl(ctx context.Context, command string, args ...string) error {
	args = append(append([]string{command}, r.names...), args...)
	return r.bench.fleet.Fleetctl(ctx, append(args, "--namespace", releasesName)...).Err()
}

// cost is what something took, in seconds.
type cost struct{ took, cpu float64 }

// spent does something and tells what it took.
func (b *bench) spent(cpu func() (time.Duration, error), do func() error) (c cost, err error) {
	before, err := cpu()
	if err != nil {
		return c, err
	}
	began := time.Now()
	if err := do(); err != nil {
		return c, err
	}
	c.took = time.Since(began).Seconds()
	after, err := cpu()
	c.cpu = (after - before).Seconds()
	return c, err
}

// spokeCPU is what the spoke has had of the CPU, with the processes that it started and that have ended.
func (b *bench) spokeCPU() (time.Duration, error) { return cpuTimeWithChildren(b.member.Spoke.PID()) }

// ownCPU is this process's, where the loop runs.
func ownCPU() (time.Duration, error) { return cpuTime(os.Getpid()) }
