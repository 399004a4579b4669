package release_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/manifest"
)

const chartRepository = `{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"HelmRepository","metadata":{"name":"charts","namespace":"apps"},"spec":{"interval":"10m","url":"%s"}}`

func TestAHelmReleaseBringsItsChartWithIt(t *testing.T) {
	t.Parallel()
	b := newBundleWith(t, withHelm(t))
	url, _ := chartServer(t, "1.0.0")
	b.apply(fmt.Sprintf(chartRepository, url))
	b.apply(helmRelease("web", ofRepository("1.x")+`,"values":{"a":1},"install":{"timeout":"1m"}`))
	first, _, plan, archive := b.eventuallyReleased("web", "1.0.0")
	if !bytes.Equal(archive, packagedChart("1.0.0")) {
		t.Errorf("the archive has %d bytes and is not upstream's", len(archive))
	}
	if plan.Chart != (flux.HelmArtifact{Revision: "1.0.0", Source: "HelmChart/apps/apps-web"}) || string(plan.Spec.Values) != `{"a":1}` || plan.Spec.Install != nil {
		t.Errorf("plan %+v", plan)
	}
	chart, err := b.Object(t.Context(), "HelmChart", "apps", "apps-web")
	if err != nil {
		t.Fatal(err)
	}
	if labels := chart.Metadata.Labels; labels["team"] != "web" || labels["helm.toolkit.fluxcd.io/name"] != "web" || chart.Owner != helmKey("web") {
		t.Errorf("its chart is of %s and has labels %v", chart.Owner, labels)
	}
	b.apply(helmRelease("web", ofRepository("9.x")+`,"values":{"a":1}`))
	failed := b.eventuallyKey(helmKey("web"), failing("9.x"))
	if failed.Release != first.Release || failed.Reason != "SourceNotReady" || !strings.HasPrefix(failed.Message, "spec.chart.spec.sourceRef: HelmChart/apps/apps-web: ") {
		t.Errorf("with a version that there is not: %+v", failed)
	}
	b.apply(helmRelease("web", ofRepository("1.0.0")+`,"values":{"a":1}`))
	if again, _, _, _ := b.eventuallyReleased("web", "1.0.0"); again.Release != first.Release {
		t.Error("an installation that has a timeout is another Release")
	}
	b.apply(fmt.Sprintf(chartRepository, "http://127.0.0.1:1"))
	b.eventuallyKey(helmKey("web"), failing("HelmChart/apps/apps-web: "))
	b.apply(fmt.Sprintf(chartRepository, url))
	b.eventuallyReleased("web", "1.0.0") // which is where it was
}

func TestAHelmReleaseIsMadeOfWhatItsChartRefNames(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	push := func(tag, version string) string {
		t.Helper()
		ref, err := name.NewTag(host + "/charts/app:" + tag)
		if err != nil {
			t.Fatal(err)
		}
		image, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), static.NewLayer(packagedChart(version), flux.ChartLayer))
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, image); err != nil {
			t.Fatal(err)
		}
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return digest.String()
	}
	digest, latest := push("1.2.0", "1.2.0"), push("latest", "1.3.0")
	push("2.0.0", "1.2.0")
	b := newBundleWith(t, withHelm(t))
	repository := func(name, tag, operation string) {
		b.apply(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"OCIRepository","metadata":{"name":"` + name + `","namespace":"apps"},"spec":{"interval":"10m","insecure":true,"url":"oci://` + host +
			`/charts/app","ref":{"tag":"` + tag + `"},"layerSelector":{"mediaType":"` + flux.ChartLayer + `","operation":"` + operation + `"}}}`)
		b.apply(helmRelease(name, `"chartRef":{"kind":"OCIRepository","name":"`+name+`"}`))
	}
	repository("copied", "1.2.0", "copy")
	repository("extracted", "1.2.0", "extract")
	repository("moving", "latest", "copy")
	repository("mistagged", "2.0.0", "copy")
	_, _, plan, archive := b.eventuallyReleased("copied", "1.2.0@")
	if want := (flux.HelmArtifact{Revision: "1.2.0+" + digest[7:19], OCIDigest: digest, Source: "OCIRepository/apps/copied"}); plan.Chart != want || !bytes.Equal(archive, packagedChart("1.2.0")) {
		t.Errorf("of %+v, want %+v; and an archive of %d bytes", plan.Chart, want, len(archive))
	}
	if _, _, plan, archive = b.eventuallyReleased("extracted", "1.2.0@"); !strings.Contains(chartFile(t, archive), "version: 1.2.0") || plan.Chart.OCIDigest != digest {
		t.Errorf("extracted: of %+v, %q", plan.Chart, chartFile(t, archive))
	}
	if _, _, plan, _ = b.eventuallyReleased("moving", "latest@"); plan.Chart.Revision != "1.3.0+"+latest[7:19] || plan.Chart.OCIDigest != "latest@"+latest {
		t.Errorf("of a tag that is no version: %+v", plan.Chart)
	}
	b.eventuallyKey(helmKey("mistagged"), failing("is not of its version, 1.2.0"))

	b.apply(helmRelease("pushed", `"chartRef":{"kind":"ExternalArtifact","name":"made"}`))
	b.eventuallyKey(helmKey("pushed"), failing("spec.chartRef: ExternalArtifact/apps/made: not found"))
	b.pushArtifact("made", "v1", map[string]string{"Chart.yaml": "apiVersion: v2\nname: made\nversion: 0.1.0\n", "templates/a.yaml": "a: b\n"})
	if _, _, plan, archive = b.eventuallyReleased("pushed", "v1"); !strings.HasPrefix(plan.Chart.Revision, "0.1.0+") || !strings.Contains(chartFile(t, archive), "name: made") {
		t.Errorf("pushed: of %+v, %q", plan.Chart, chartFile(t, archive))
	}
}

// A spoke upgrades to another version of a chart alone: other files that are pushed must be one, whatever they are called.
func TestOtherFilesThatArePushedAreAnotherVersionOfTheChart(t *testing.T) {
	t.Parallel()
	b := newBundleWith(t, withHelm(t))
	revisions := map[string]bool{}
	b.apply(helmRelease("web", `"chartRef":{"kind":"ExternalArtifact","name":"made"}`))
	for _, revision := range []string{"v1", "v2"} {
		b.pushArtifact("made", revision, map[string]string{"Chart.yaml": "apiVersion: v2\nname: made\nversion: 0.1.0\n", "templates/a.yaml": "a: " + revision + "\n"})
		_, _, plan, _ := b.eventuallyReleased("web", revision)
		_, sum, _ := strings.Cut(plan.Chart.OCIDigest, "sha256:")
		if len(sum) != 64 || plan.Chart.Revision != "0.1.0+"+sum[:12] {
			t.Errorf("%s: of %+v", revision, plan.Chart)
		}
		revisions[plan.Chart.Revision] = true
	}
	if len(revisions) != 2 {
		t.Errorf("the versions are %v", revisions)
	}
}

func TestAChartThatIsNoneIsToldOnItsHelmReleaseAlone(t *testing.T) {
	t.Parallel()
	b := newBundleWith(t, withHelm(t))
	const chart = "apiVersion: v2\nname: made\nversion: 0.1.0\n"
	for name, bad := range map[string]struct {
		files map[string]string
		want  string
	}{
		"none":     {map[string]string{"deploy/deeper/Chart.yaml": chart}, "the chart: there is none"},
		"two":      {map[string]string{"a/Chart.yaml": chart, "b/Chart.yaml": chart}, "the chart: there is more than one: a and b"},
		"garbled":  {map[string]string{"Chart.yaml": "{"}, "Chart.yaml"},
		"nameless": {map[string]string{"Chart.yaml": "apiVersion: v2\nversion: 0.1.0\n"}, "it has no name"},
		"lacking":  {map[string]string{"Chart.yaml": chart + "dependencies:\n- name: db\n  version: 1.0.0\n  repository: https://x\n"}, "it needs db, which is not in charts/"},
		"broken":   {map[string]string{"a.tgz": "no gzip"}, "the chart"},
		"large":    {map[string]string{"Chart.yaml": chart, "a": noise(5<<20 + 1)}, "a file of a chart may have"},
	} {
		b.pushArtifact(name, "v1", bad.files)
		b.apply(helmRelease(name, `"chartRef":{"kind":"ExternalArtifact","name":"`+name+`"}`))
		state := b.eventuallyKey(helmKey(name), failing(bad.want))
		if state.Reason != fleet.ReasonArtifactFailed || !strings.HasPrefix(state.Message, "spec.chartRef: ExternalArtifact/apps/"+name+": ") {
			t.Errorf("%s: %s: %s", name, state.Reason, state.Message)
		}
	}
	b.pushArtifact("good", "v1", map[string]string{"good/Chart.yaml": chart, "README.md": "which one is it?"})
	b.apply(helmRelease("good", `"chartRef":{"kind":"ExternalArtifact","name":"good"}`))
	b.eventuallyReleased("good", "v1")
}

// The chart is somebody else's, and there is nothing wrong with it. An earlier hub took specs of any size.
func TestASpecThatIsTooLargeForAReleaseIsNotToldOfTheChart(t *testing.T) {
	t.Parallel()
	b := newBundleWith(t, withHelm(t))
	b.pushArtifact("good", "v1", map[string]string{"Chart.yaml": "apiVersion: v2\nname: made\nversion: 0.1.0\n"})
	b.apply(helmRelease("large", `"chartRef":{"kind":"ExternalArtifact","name":"good"},"suspend":true`))
	conn, err := pgx.Connect(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	const enlarge = `UPDATE object SET spec = jsonb_set(spec, '{values}', jsonb_build_object('a', repeat('x', 3 << 20))) WHERE kind = 'HelmRelease'`
	if _, err := conn.Exec(t.Context(), enlarge); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Resume(t.Context(), admin, "HelmRelease", "apps", "large", false); err != nil {
		t.Fatal(err)
	}
	state := b.eventuallyKey(helmKey("large"), failing("the values and what else is said of the release have"))
	if state.Reason != fleet.ReasonBuildFailed || !strings.HasPrefix(state.Message, "spec: ") {
		t.Errorf("%s: %s", state.Reason, state.Message)
	}
}

func TestHelmReleasesOfOneChartFetchAndPackageItOnceAndOtherValuesShipThePlanAlone(t *testing.T) {
	t.Parallel()
	change, packages := withHelmCounted(t)
	b := newBundleWith(t, change)
	url, fetches := chartServer(t, "1.0.0")
	b.apply(fmt.Sprintf(chartRepository, url))
	for i := range 20 {
		b.apply(helmRelease(fmt.Sprintf("web-%d", i), ofRepository("1.x")))
	}
	var base *manifest.Manifest
	for i := range 20 {
		_, base, _, _ = b.eventuallyReleased(fmt.Sprintf("web-%d", i), "1.0.0")
	}
	if n, packed := fetches.Load(), packages.Load(); n != 1 || packed != 1 {
		t.Errorf("for 20 HelmReleases the chart was fetched %d times, and packaged %d times", n, packed)
	}
	before, err := b.AppStates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.apply(helmRelease("web-19", ofRepository("1.x")+`,"values":{"a":{"b":"c"}}`))
	state := b.eventuallyKey(helmKey("web-19"), func(s fleet.AppState) error {
		if s.Release == before[helmKey("web-19")].Release {
			return errors.New("not built anew")
		}
		return nil
	})
	_, target, plan, _ := b.released(state)
	if string(plan.Spec.Values) != `{"a":{"b":"c"}}` {
		t.Errorf("values %s", plan.Spec.Values)
	}
	var shipped []fleet.Digest
	if _, err := manifest.Pack(base, target, func(digest fleet.Digest) ([]byte, error) {
		shipped = append(shipped, digest)
		return b.blob(digest), nil
	}); err != nil {
		t.Fatal(err)
	}
	if wanted, _ := target.Chart(); len(shipped) != 1 || shipped[0] != wanted {
		t.Errorf("shipped are %v, and the plan is %s", shipped, wanted)
	}
	if n, packed := fetches.Load(), packages.Load(); n != 1 || packed != 1 {
		t.Errorf("after a change of values the chart was fetched %d times, and packaged %d times", n, packed)
	}
}

func TestWhatTakesEffectAtOnceMakesNoNewReleaseOfAChart(t *testing.T) {
	t.Parallel()
	b := newBundleWith(t, withHelm(t))
	b.pushArtifact("made", "v1", map[string]string{"Chart.yaml": "apiVersion: v2\nname: made\nversion: 0.1.0\n"})
	const ref = `"chartRef":{"kind":"ExternalArtifact","name":"made"}`
	const retries = `,"upgrade":{"strategy":{"name":"RetryOnFailure"`
	b.apply(`{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Cluster","metadata":{"name":"eu"}}`)
	b.apply(placement("web", ""))
	b.apply(helmRelease("web", ref+retries+`}}`))
	built := func(generation int64) func(fleet.AppState) error {
		return func(s fleet.AppState) error {
			if s.ObservedGeneration != generation || s.Release.IsZero() {
				return fmt.Errorf("generation %d", s.ObservedGeneration)
			}
			return nil
		}
	}
	b.eventuallyKey(helmKey("web"), built(1))
	first := b.assigned("web")
	minutes := func(n int) time.Duration { return time.Duration(n) * time.Minute }
	for n, step := range []struct {
		spec string
		want fleet.Controls
	}{
		{ref + retries + `}},"timeout":"1m","test":{"timeout":"2m"}`, fleet.Controls{Interval: minutes(10), Timeout: minutes(1), Helm: fleet.HelmControls{Test: minutes(2)}}},
		{
			ref + retries + `,"retryInterval":"3m"},"timeout":"4m"},"install":{"timeout":"5m"},"rollback":{"timeout":"6m"},"uninstall":{"timeout":"7m"}`,
			fleet.Controls{Interval: minutes(10), Timeout: minutes(5), Helm: fleet.HelmControls{RetryUpgrade: minutes(3), Upgrade: minutes(4), Install: minutes(5), Rollback: minutes(6), Uninstall: minutes(7)}},
		},
		{`"interval":"8m",` + ref + retries + `}}`, fleet.Controls{Interval: minutes(8), Timeout: minutes(5)}},
		{ref + retries + `}},"suspend":true`, fleet.Controls{Suspend: true, Interval: minutes(10), Timeout: minutes(5)}},
	} {
		text := helmRelease("web", step.spec)
		if strings.Contains(step.spec, `"interval"`) {
			text = strings.Replace(text, `"interval":"10m",`, "", 1)
		}
		b.apply(text)
		if !step.want.Suspend { // which is not built
			b.eventuallyKey(helmKey("web"), built(int64(n)+2))
		}
		a := b.assigned("web")
		if a.Controls != step.want {
			t.Errorf("%s: controls %+v, want %+v", step.spec, a.Controls, step.want)
		}
		if a.Release.Digest() != first.Release.Digest() || a.Pin != first.Pin {
			t.Errorf("%s makes a new Release, pinned at %d", step.spec, a.Pin)
		}
	}
}

// Clusters differ by their Bindings alone: there is one Release for all, and what Placements say needs no other chart.
func TestTwentyClustersHaveOneReleaseOfAChartThatIsFetchedAndPackagedOnce(t *testing.T) {
	t.Parallel()
	change, packages := withHelmCounted(t)
	b := newBundleWith(t, change)
	url, fetches := chartServer(t, "1.0.0")
	var overrides []string
	for i := range 20 {
		b.apply(fmt.Sprintf(`{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Cluster","metadata":{"name":"eu-%d"}}`, i))
		overrides = append(overrides, fmt.Sprintf(`{"clusters":{"names":["eu-%d"]},"values":{"cluster":%d}}`, i, i))
	}
	b.apply(fmt.Sprintf(chartRepository, url))
	b.apply(helmRelease("web", ofRepository("1.x")))
	place := func(overrides string) {
		t.Helper()
		b.apply(placement("web", overrides))
		if _, err := b.Roll(t.Context(), helmKey("web"), rollout.Next); err != nil {
			t.Fatal(err)
		}
	}
	state, _, _, _ := b.eventuallyReleased("web", "1.0.0")
	place(strings.Join(overrides, ","))
	instances, _, err := b.Instances(t.Context(), fleet.InstanceQuery{})
	if err != nil || len(instances) != 20 {
		t.Fatalf("%d clusters have it, error %v", len(instances), err)
	}
	for _, i := range instances {
		if want := `{"cluster":` + strings.TrimPrefix(i.Cluster, "eu-") + `}`; i.Assignment.Release.Digest() != state.Release || string(i.Assignment.Binding.Values) != want {
			t.Errorf("%s has %s with %s, want %s with %s", i.Cluster, i.Assignment.Release.Digest(), i.Assignment.Binding.Values, state.Release, want)
		}
	}
	place(`{"clusters":{"selector":{}},"values":{"cluster":"any"}}`)
	if n, packed := fetches.Load(), packages.Load(); n != 1 || packed != 1 {
		t.Errorf("for 20 clusters the chart was fetched %d times, and packaged %d times", n, packed)
	}
}
