package source_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

func startHelmRepository(t *testing.T, p protection) *subject {
	t.Helper()
	server := lab.TestHelmRepo(t, lab.HelmRepoConfig{SiteConfig: p.site()})
	u := source.Upstream{
		Kind: "HelmRepository", URL: server.URL(),
		Spec: flux.HelmRepository{
			URL: server.URL(), Interval: &flux.Duration{Duration: time.Minute},
			SecretRef: &flux.SecretRef{Name: "credential"}, CertSecretRef: &flux.SecretRef{Name: "certificates"},
		},
	}
	u = with(u, "certSecretRef", p.tls(t))
	if p.password {
		server.Protect("anna", rightPassword)
		u = with(u, "secretRef", map[string][]byte{"username": []byte("anna"), "password": []byte(rightPassword)})
	}
	var held *lab.Chart
	return &subject{
		server: server, upstream: u,
		change: func(content string) {
			chart := chartOf(t, content)
			err := server.Add(chart)
			if held != nil && err == nil {
				err = server.Remove(held.Name, held.Version)
			}
			if held = chart; err != nil {
				t.Fatal(err)
			}
		},
		asked: func() int { return len(server.Visits()) }, fetched: func() int { return server.Indexes() + server.Downloads() },
		anonymous: func(u source.Upstream) source.Upstream { return with(u, "secretRef") },
		wrong: func(u source.Upstream) source.Upstream {
			return with(u, "secretRef", map[string][]byte{"username": []byte("anna"), "password": []byte(wrongPassword)})
		},
		unfit: func(u source.Upstream) source.Upstream {
			return with(u, "secretRef", map[string][]byte{"password": []byte(wrongPassword)})
		},
	}
}

func startHelmChart(t *testing.T, p protection) *subject {
	t.Helper()
	return chartsOf(startHelmRepository(t, p), newestChart)
}

func startHelmChartOCI(t *testing.T, p protection) *subject {
	t.Helper()
	server := lab.TestRegistry(t, lab.RegistryConfig{SiteConfig: p.site()})
	url := "oci://" + server.Name("charts")
	u := source.Upstream{
		Kind: "HelmRepository", URL: url,
		Spec: flux.HelmRepository{
			URL: url, Type: flux.HelmRepositoryOCI, Insecure: p.authority == nil,
			SecretRef: &flux.SecretRef{Name: "credential"}, CertSecretRef: &flux.SecretRef{Name: "certificates"},
		},
	}
	u = with(u, "certSecretRef", p.tls(t))
	if p.password {
		server.Protect("anna", rightPassword)
		u = with(u, "secretRef", dockerConfig(server, "anna", rightPassword))
	}
	return chartsOf(&subject{
		server: server, upstream: u,
		change: func(content string) {
			chart := chartOf(t, content)
			pushed, err := chart.Artifact()
			if err == nil {
				_, err = server.Push("charts/app", chart.Version, pushed)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		asked: func() int { return len(server.Visits()) }, fetched: server.Blobs,
		anonymous: func(u source.Upstream) source.Upstream { return with(u, "secretRef") },
		wrong: func(u source.Upstream) source.Upstream {
			return with(u, "secretRef", dockerConfig(server, "anna", wrongPassword))
		},
		unfit: unfitDockerConfig,
	}, newestChart)
}

// newestChart of a repository.
var newestChart = flux.HelmChart{Chart: "app", Version: "*", SourceRef: flux.LocalSourceRef{Kind: "HelmRepository", Name: "charts"}}

// chartsOf is a chart of a source.
func chartsOf(repository *subject, spec flux.HelmChart) *subject {
	spec.Interval = &flux.Duration{Duration: time.Minute}
	s := *repository
	of := func(u source.Upstream) source.Upstream {
		chart := source.Upstream{
			Kind: "HelmChart", URL: u.URL,
			Spec:   spec,
			Inputs: []source.Input{{Field: "sourceRef", Name: "charts", Upstream: u}},
		}
		chart.ID, chart.Remote = identity(u), identity(u)
		return chart
	}
	s.upstream = of(repository.upstream)
	s.anonymous = func(u source.Upstream) source.Upstream { return of(repository.anonymous(u.Inputs[0].Upstream)) }
	s.wrong = func(u source.Upstream) source.Upstream { return of(repository.wrong(u.Inputs[0].Upstream)) }
	s.unfit = func(u source.Upstream) source.Upstream { return of(repository.unfit(u.Inputs[0].Upstream)) }
	return &s
}

// charts are packed once each: a package holds the time at which it was made.
var charts struct {
	sync.Mutex
	byContent map[string]*lab.Chart
}

// chartOf is a chart that holds a text, of a later version than those before it.
func chartOf(t *testing.T, content string) *lab.Chart {
	t.Helper()
	charts.Lock()
	defer charts.Unlock()
	if chart, packed := charts.byContent[content]; packed {
		return chart
	}
	chart, err := lab.PackChart(map[string]string{
		"Chart.yaml": fmt.Sprintf("apiVersion: v2\nname: app\nversion: 1.%d.0\ndescription: %s\n", len(charts.byContent), content),
	})
	if err != nil {
		t.Fatal(err)
	}
	if charts.byContent == nil {
		charts.byContent = map[string]*lab.Chart{}
	}
	charts.byContent[content] = chart
	return chart
}
