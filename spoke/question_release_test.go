package spoke

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/cache"
	"flotilla.dev/flotilla/spoke/deploy"
	"flotilla.dev/flotilla/spoke/helm"
	"flotilla.dev/flotilla/spoke/helm/process"
	"flotilla.dev/flotilla/spoke/worker"
	"flotilla.dev/flotilla/test/lab"
)

func TestQuestionsAboutAReleaseAreAnswered(t *testing.T) {
	t.Parallel()
	cluster := lab.TestCluster(t)
	namespace, system := lab.TestNamespace(t, cluster), lab.TestNamespace(t, cluster)
	chart, err := lab.PackChart(map[string]string{
		"Chart.yaml":        "apiVersion: v2\nname: app\nversion: 1.0.0\n",
		"templates/it.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: it}\ndata: {a: '{{ .Values.a }}'}\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	plan := flux.HelmPlan{Spec: flux.HelmReleaseSpec{Values: []byte(`{"a": "one"}`)}, Chart: flux.HelmArtifact{Revision: "1.0.0"}}
	encoded, err := plan.Encode()
	if err != nil {
		t.Fatal(err)
	}
	m, blobs, err := manifest.NewChart(encoded, chart.Archive)
	if err != nil {
		t.Fatal(err)
	}
	disk, err := cache.Open(cache.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = disk.Close() })
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	runner, err := process.New(process.Config{Program: program})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := deploy.New(deploy.Config{REST: cluster.REST(), Namespace: system, Dir: t.TempDir(), Blob: of(blobs)})
	if err != nil {
		t.Fatal(err)
	}
	releases, err := helm.New(helm.Config{REST: cluster.REST(), Runner: runner, Namespace: system, Blob: of(blobs)})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = engine.Run(t.Context()) }()
	go func() { _ = releases.Run(t.Context()) }()

	app := fleet.Key{Home: fleet.HubHome, Kind: "HelmRelease", Namespace: namespace, Name: "app"}
	release := fleet.Release{App: app, Manifest: m.Digest()}
	controls := fleet.Controls{Timeout: time.Minute}
	if err := releases.Deploy(t.Context(), helm.Target{App: app, Release: release, Manifest: m, Controls: controls}); err != nil {
		t.Fatal(err)
	}
	a := &answers{
		engine: engine, releases: releases, blobs: disk,
		assigned: func(of fleet.Key) (worker.Assigned, bool) {
			return worker.Assigned{Assignment: fleet.Assignment{App: app, State: fleet.Active, Release: release, Controls: controls}}, of == app
		},
		fetch: func(context.Context, worker.Assigned, *manifest.Manifest) (*manifest.Manifest, manifest.Blobs, error) {
			return m, blobs, nil
		},
		mark: func(context.Context) (fleet.ClusterMark, error) { return fleet.ClusterMark{Name: "prod-1"}, nil },
	}
	said := func(ask fleet.Ask, want ...string) {
		t.Helper()
		answer, err := a.answer(t.Context(), ask)
		text := fmt.Sprintf("%+v", answer)
		for _, part := range want {
			if err != nil || !strings.Contains(text, part) {
				t.Errorf("%s: %s, error %v; want %q", ask.What, text, err, part)
			}
		}
	}
	said(fleet.Ask{What: fleet.AskDiff, App: app}, "Unchanged:1")
	said(fleet.Ask{What: fleet.AskTree, App: app}, "ConfigMap/"+namespace+"/it", "Status:Current")
	said(fleet.Ask{What: fleet.AskTrace, Word: "cm", Namespace: namespace, Name: "it"}, "App:hub/HelmRelease/"+namespace+"/app")
	said(fleet.Ask{What: fleet.AskHelmValues, App: app}, "Values:a: one", "Plan:")
	said(fleet.Ask{What: fleet.AskHelmHistory, App: app}, "Chart:app-1.0.0", "Action:install")
	for what, ask := range map[string]fleet.Ask{
		"drift":     {What: fleet.AskDiff, App: app, Drift: true},
		"documents": {What: fleet.AskDiff, App: app, Documents: []byte("x")},
	} {
		if _, err := a.answer(t.Context(), ask); !errors.Is(err, fleet.ErrInvalid) {
			t.Errorf("%s: error %v", what, err)
		}
	}
	other := app
	other.Name = "other"
	if _, err := a.answer(t.Context(), fleet.Ask{What: fleet.AskHelmHistory, App: other}); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("of an App that is not here: %v", err)
	}
}
