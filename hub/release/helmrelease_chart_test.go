package release_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/test/lab"
)

func TestAHelmReleaseMayNotHaveAChartOfAnotherNamespaceUnlessThatIsAllowed(t *testing.T) {
	t.Parallel()
	for _, allowed := range []bool{false, true} {
		t.Run(fmt.Sprintf("allowed %t", allowed), func(t *testing.T) {
			t.Parallel()
			b := newBundleThat(t, allowed, withHelm(t))
			url, fetches := chartServer(t, "1.0.0")
			b.apply(strings.Replace(fmt.Sprintf(chartRepository, url), `"namespace":"apps"`, `"namespace":"shared"`, 1))
			b.apply(helmRelease("web", strings.Replace(ofRepository("1.x"), `"name":"charts"`, `"name":"charts","namespace":"shared"`, 1)))
			charts, _, err := b.Objects(t.Context(), resource.Query{Kind: "HelmChart"})
			if err != nil {
				t.Fatal(err)
			}
			if allowed {
				b.eventuallyReleased("web", "1.0.0")
				if len(charts) != 1 || charts[0].String() != "HelmChart/shared/apps-web" {
					t.Errorf("charts %v", charts)
				}
				return
			}
			b.eventuallyKey(helmKey("web"), failing("HelmRepository/shared/charts is in another namespace than apps"))
			if len(charts) != 0 || fetches.Load() != 0 {
				t.Errorf("%d charts are declared, and one was fetched %d times", len(charts), fetches.Load())
			}
		})
	}
}

// One that could not be made, or is another's now, says so: it is no chart of the HelmRelease.
func TestAHelmReleaseIsNotMadeOfAHelmChartOfAnother(t *testing.T) {
	t.Parallel()
	b := newBundleWith(t, withHelm(t))
	url, _ := chartServer(t, "1.0.0")
	b.apply(fmt.Sprintf(chartRepository, url))
	b.apply(helmRelease("web", ofRepository("1.x")))
	first, _, _, _ := b.eventuallyReleased("web", "1.0.0")
	conn, err := pgx.Connect(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	owned := func(owner any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), `UPDATE object SET owner = $1 WHERE kind = 'HelmChart' AND name = 'apps-web'`, owner); err != nil {
			t.Fatal(err)
		}
		b.pushArtifact("wakes", "v1", map[string]string{"a": fmt.Sprint(owner)})
	}
	owned(helmKey("other").String())
	taken := b.eventuallyKey(helmKey("web"), failing("spec.chart: HelmChart/apps/apps-web stands for it, and it is made for HelmRelease/apps/other: "))
	if taken.Release != first.Release || taken.Reason != "SourceNotReady" {
		t.Errorf("it is %+v", taken)
	}
	owned(nil)
	b.eventuallyKey(helmKey("web"), failing("and it is declared already: "))
	owned(helmKey("web").String())
	b.eventuallyReleased("web", "1.0.0")
}

// A chart has nothing newer than its repository, which is asked first.
func TestAHelmReleaseWithItsSourceHasWhatItsRepositoryHasNow(t *testing.T) {
	t.Parallel()
	b := newBundleWith(t, withHelm(t))
	var version atomic.Value
	version.Store("1.0.0")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/index.yaml" {
			_, _ = fmt.Fprintf(w, "apiVersion: v1\nentries:\n  app:\n  - name: app\n    version: %s\n    urls: [app.tgz]\n", version.Load())
			return
		}
		_, _ = w.Write(packagedChart(version.Load().(string)))
	}))
	t.Cleanup(server.Close)
	b.apply(fmt.Sprintf(chartRepository, server.URL))
	b.apply(helmRelease("web", ofRepository("1.x")))
	b.eventuallyReleased("web", "1.0.0")
	version.Store("1.1.0")
	request, err := b.RequestReconcile(t.Context(), admin, "HelmRelease", "apps", "web", &flux.SourceRef{Kind: "HelmChart", Name: "apps-web"}, fleet.LookOptions{})
	if err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, time.Minute, "the request to be served", func() error {
		states, err := b.SourceStates(t.Context(), "HelmChart")
		if err != nil {
			return err
		}
		if got := states["apps/apps-web"].HandledReconcileAt; got != request.At {
			return fmt.Errorf("handled is %q, and asked was %q", got, request.At)
		}
		return nil
	})
	apps, err := b.AppStates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if at := apps[helmKey("web")].Revision; at != "1.1.0" {
		t.Errorf("when the request is served, it is built from %s", at)
	}
}
