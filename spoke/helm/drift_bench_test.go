package helm_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/deploy"
	"flotilla.dev/flotilla/spoke/helm"
	"flotilla.dev/flotilla/spoke/helm/process"
	"flotilla.dev/flotilla/test/lab"
)

// BenchmarkCorrection is how long an edit stands, of an object of a HelmRelease and of a Kustomization: from the answer to the
// edit until its undoing is seen.
func BenchmarkCorrection(b *testing.B) {
	cluster := lab.TestCluster(b)
	client, err := kubernetes.NewForConfig(cluster.REST())
	if err != nil {
		b.Fatal(err)
	}
	for name, begin := range map[string]func(b *testing.B, config *rest.Config, namespace, system string) func(){
		"HelmRelease": beginRelease, "Kustomization": beginKustomization,
	} {
		b.Run(name, func(b *testing.B) {
			namespace, system := lab.TestNamespace(b, cluster), lab.TestNamespace(b, cluster)
			defer begin(b, cluster.REST(), namespace, system)()
			measure(b, client, namespace)
		})
	}
}

// objects is how many there are: one that is edited again soon is fought over, and backed off.
const objects = 200

func measure(b *testing.B, client kubernetes.Interface, namespace string) {
	maps := client.CoreV1().ConfigMaps(namespace)
	events, err := maps.Watch(b.Context(), metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer events.Stop()
	var took []float64
	for i := 0; b.Loop(); i++ {
		name := fmt.Sprintf("it-%d", i%objects)
		if _, err := maps.Patch(b.Context(), name, types.MergePatchType, []byte(`{"data":{"value":"theirs"}}`), metav1.PatchOptions{FieldManager: "someone"}); err != nil {
			b.Fatal(err)
		}
		answered := time.Now()
		for event := range events.ResultChan() {
			if cm, is := event.Object.(*corev1.ConfigMap); is && event.Type == watch.Modified && cm.Name == name && cm.Data["value"] == "chart" {
				break
			}
		}
		took = append(took, max(0, time.Since(answered).Seconds()))
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2]*1000, "p50-ms")
	b.ReportMetric(took[len(took)*99/100]*1000, "p99-ms")
}

func beginRelease(b *testing.B, config *rest.Config, namespace, system string) func() {
	program, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	runner, err := process.New(process.Config{Program: program})
	if err != nil {
		b.Fatal(err)
	}
	chart, err := lab.PackChart(map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n", "templates/it.yaml": fmt.Sprintf("{{ range until %d }}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: 'it-{{ . }}'}\ndata: {value: chart}\n{{ end }}\n", objects),
	})
	if err != nil {
		b.Fatal(err)
	}
	plan := flux.HelmPlan{Chart: flux.HelmArtifact{Revision: "1.0.0", Source: "HelmChart/a/app"}}
	plan.Spec.DriftDetection = &flux.HelmDriftDetection{Mode: flux.HelmDriftEnabled}
	encoded, err := plan.Encode()
	if err != nil {
		b.Fatal(err)
	}
	m, blobs, err := manifest.NewChart(encoded, chart.Archive)
	if err != nil {
		b.Fatal(err)
	}
	engine, err := helm.New(helm.Config{REST: config, Runner: runner, Namespace: system, Blob: from(blobs)})
	if err != nil {
		b.Fatal(err)
	}
	app := fleet.Key{Home: fleet.HubHome, Kind: "HelmRelease", Namespace: namespace, Name: "app"}
	return begun(b, engine.Run, func(ctx context.Context) error {
		return engine.Deploy(ctx, helm.Target{
			App: app, Release: fleet.Release{App: app, Manifest: m.Digest()}, Manifest: m, Controls: fleet.Controls{Timeout: time.Minute},
		})
	}, func() bool { return engine.Status(app).Healthy.Status == fleet.True })
}

func beginKustomization(b *testing.B, config *rest.Config, namespace, system string) func() {
	var documents [][]byte
	for i := range objects {
		documents = append(documents, fmt.Appendf(nil, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"it-%d","namespace":%q},"data":{"value":"chart"}}`, i, namespace))
	}
	app := fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: namespace, Name: "app"}
	release := fleet.Release{App: app}
	m, blobs, err := manifest.New(documents, manifest.OptionsOf(release.ReleaseSpec))
	if err != nil {
		b.Fatal(err)
	}
	release.Manifest = m.Digest()
	engine, err := deploy.New(deploy.Config{REST: config, Namespace: system, Dir: b.TempDir(), Blob: from(blobs)})
	if err != nil {
		b.Fatal(err)
	}
	return begun(b, engine.Run, func(ctx context.Context) error {
		return engine.Deploy(ctx, deploy.Target{App: app, Release: release, Manifest: m})
	}, func() bool { return engine.Status(app).Healthy.Status == fleet.True })
}

func from(blobs manifest.Blobs) func(fleet.Digest) ([]byte, error) {
	return func(digest fleet.Digest) ([]byte, error) {
		if blob, has := blobs[digest]; has {
			return blob, nil
		}
		return nil, fleet.ErrNotFound
	}
}

// begun runs an engine until what it returns is called, and has it deploy.
func begun(b *testing.B, run, deploy func(context.Context) error, ready func() bool) func() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	if err := deploy(b.Context()); err != nil {
		b.Fatal(err)
	}
	lab.Eventually(b, time.Minute, "it is ready", func() error {
		if !ready() {
			return errors.New("it is not")
		}
		return nil
	})
	return func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}
