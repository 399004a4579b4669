package source_test

import (
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

func startBucket(t *testing.T, p protection) *subject {
	t.Helper()
	server := lab.TestS3(t, lab.S3Config{SiteConfig: p.site(), SecretKey: rightPassword, AccessKey: "anna", Public: !p.password})
	if err := server.MakeBucket("app"); err != nil {
		t.Fatal(err)
	}
	spec := flux.Bucket{
		BucketName: "app", Endpoint: server.Host(), Insecure: p.authority == nil, Region: "us-east-1",
		Interval: &flux.Duration{Duration: time.Minute},
	}
	keys := func(u source.Upstream, secret string) source.Upstream {
		spec := spec
		spec.SecretRef = &flux.SecretRef{Name: "credential"}
		u.Spec = spec
		return with(u, "secretRef", map[string][]byte{"accesskey": []byte("anna"), "secretkey": []byte(secret)})
	}
	u := with(source.Upstream{Kind: "Bucket", URL: spec.URL(), Spec: spec}, "certSecretRef", p.tls(t))
	right := u
	if p.password {
		right = keys(u, rightPassword)
	}
	return &subject{
		server: server, upstream: right,
		change: func(content string) {
			for name, text := range files(content) {
				if err := server.Put("app", name, text); err != nil {
					t.Fatal(err)
				}
			}
		},
		asked: func() int { return len(server.Visits()) }, fetched: server.Gets,
		anonymous: func(v source.Upstream) source.Upstream { return u },
		wrong:     func(v source.Upstream) source.Upstream { return keys(v, wrongPassword) },
		unfit: func(v source.Upstream) source.Upstream {
			return with(v, "secretRef", map[string][]byte{"secretkey": []byte(wrongPassword)})
		},
	}
}

// startHelmChartOfBucket is a chart that the hub packs from files.
func startHelmChartOfBucket(t *testing.T, p protection) *subject {
	t.Helper()
	s := startBucket(t, p)
	server := s.server.(*lab.S3)
	change := s.change
	s.change = func(content string) {
		change(content)
		chart := "apiVersion: v2\nname: app\nversion: 1.0.0\ndescription: " + content + "\n"
		if err := server.Put("app", "Chart.yaml", chart); err != nil {
			t.Fatal(err)
		}
	}
	return chartsOf(s, flux.HelmChart{
		Chart: "./", ReconcileStrategy: flux.ByRevision, SourceRef: flux.LocalSourceRef{Kind: "Bucket", Name: "charts"},
	})
}
