package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/test/lab"
)

// patience is how long anything may take on a busy machine. Nothing waits for it when all is well.
const patience = 5 * time.Minute

// bench is a run: what was started for it, and what was measured.
type bench struct {
	settings settings
	report   report

	shape shape

	fleet   *lab.Fleet
	member  *lab.Member
	client  *kubernetes.Clientset
	dynamic dynamic.Interface
	app     *app
	corpus  *corpus // of the app
	bare    *bareLoop
	machine calibration
	began   time.Time
	// strangers says that the foreign objects are there.
	strangers bool
}

// benchmark is one thing to measure. It adds figures to the report.
type benchmark struct {
	name    string
	measure func(*bench, context.Context) error
}

// benchmarks run in this order: memory is that of programs which have worked.
var benchmarks = []benchmark{
	{"all", (*bench).all},
	{"one", (*bench).one},
	{"rest", (*bench).rest},
	{"drift", (*bench).drift},
	{"memory", (*bench).memory},
	{"overlay", (*bench).overlay}, // an app more, which the others do not have beside them
}

// benchmarkNames are what -only takes.
func benchmarkNames() []string {
	var names []string
	for _, m := range benchmarks {
		names = append(names, m.name)
	}
	return append(names, releasesName, rolloutName)
}

// start returns when both sides have all their objects in the cluster. What it has started is the bench's to stop, with
// an error too.
func start(ctx context.Context, s settings, of shape) (*bench, error) {
	b := &bench{settings: s, shape: of, began: time.Now()}
	return b, step(ctx, "start", b.start(ctx))
}

// startFleet starts a hub, and a cluster with its spoke.
func (b *bench) startFleet(ctx context.Context, objects int) error {
	load, err := loadAverage()
	if err != nil {
		return err
	}
	b.report = report{Kind: b.shape.kind, Objects: objects, CPUs: runtime.NumCPU(), LoadBefore: load}
	b.fleet, err = lab.StartFleet(ctx, lab.FleetConfig{
		Binaries:        b.settings.bin,
		Clusters:        []lab.FleetCluster{{Name: clusterName}},
		PrivatePostgres: true,
		Audit:           true,
		Progress:        os.Stderr,
	})
	if err != nil {
		return err
	}
	b.member = b.fleet.Members[0]
	return nil
}

func (b *bench) start(ctx context.Context) (err error) {
	if err := b.startFleet(ctx, b.settings.objects); err != nil {
		return err
	}
	if b.client, err = kubernetes.NewForConfig(b.member.REST()); err != nil {
		return err
	}
	if b.dynamic, err = dynamic.NewForConfig(b.member.REST()); err != nil {
		return err
	}
	if err = b.startApp(ctx); err != nil {
		return fmt.Errorf("app: %w", err)
	}
	b.say("%d %ss stand that Flotilla applied", b.settings.objects, b.shape.kind)
	if b.bare, err = newBareLoop(ctx, b); err != nil {
		return fmt.Errorf("bare loop: %w", err)
	}
	b.say("%d %ss stand that a bare loop applied", b.settings.objects, b.shape.kind)
	return nil
}

// startApp returns when the app's objects are in the cluster.
func (b *bench) startApp(ctx context.Context) error {
	b.corpus = newCorpus(b.shape, "app", b.settings.objects)
	var err error
	b.app, err = b.deploy(ctx, b.corpus)
	return err
}

// deploy makes an app of the corpus, in a namespace of its own, and returns when its objects are in the cluster. With an
// error, too, its view is the caller's to stop.
func (b *bench) deploy(ctx context.Context, c *corpus) (*app, error) {
	a, err := b.newApp(ctx, c.namespace)
	if err != nil {
		return nil, err
	}
	if a.view, err = startView(ctx, b.dynamic, a.name, b.shape.version, b.shape.resource); err != nil {
		return a, err
	}
	if err := a.write(c, c.all()); err != nil {
		return a, err
	}
	commit, err := a.push(ctx)
	if err != nil {
		return a, err
	}
	return a, a.declare(ctx, commit)
}

// measure runs what was asked for, and calibrates before, between and after.
func (b *bench) measure(ctx context.Context) error {
	if err := b.calibrate(ctx); err != nil {
		return step(ctx, "calibration", err)
	}
	for _, m := range benchmarks {
		switch {
		case b.settings.only != "" && b.settings.only != m.name:
			continue
		case b.settings.only == "" && b.settings.kind == "" && m.name == "drift" && b.shape.kind != shapes[0].kind:
			continue // it has kinds of its own, and was measured
		}
		if err := m.measure(b, ctx); err != nil {
			return step(ctx, m.name, err)
		}
		if err := b.calibrate(ctx); err != nil {
			return step(ctx, "calibration", err)
		}
	}
	return nil
}

// finish completes the report with what is known last. A calibration alone is no report.
func (b *bench) finish() error {
	if len(b.report.Figures) == 0 {
		return nil
	}
	var err error
	b.report.Figures = slices.Concat(b.machine.figures(b.shape.kind), b.report.Figures)
	b.report.Seconds = time.Since(b.began).Seconds()
	b.report.LoadAfter, err = loadAverage()
	return err
}

// stop ends everything. It may be called whatever was started.
func (b *bench) stop() error {
	if b.app != nil && b.app.view != nil {
		b.app.view.stop()
	}
	if b.bare != nil {
		b.bare.view.stop()
	}
	if b.fleet == nil {
		return nil
	}
	b.say("stopping")
	if err := b.fleet.Stop(); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

// add puts a row into the report.
func (b *bench) add(f figure) { b.report.Figures = append(b.report.Figures, f) }

// say tells whoever waits what goes on.
func (b *bench) say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// step is an error with where it happened; what fails because of an interrupt is no more than that.
func step(ctx context.Context, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return errors.New(name + ": interrupted")
	}
	return fmt.Errorf("%s: %w", name, err)
}

// pause waits, or returns an error when the context ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func createNamespace(ctx context.Context, client kubernetes.Interface, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	return err
}

// loadAverage is the machine's, of the last minute.
func loadAverage() (float64, error) {
	content, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	var load float64
	if _, err := fmt.Sscan(string(content), &load); err != nil {
		return 0, fmt.Errorf("/proc/loadavg: %w", err)
	}
	return load, nil
}
