package helm_test

import (
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/helm"
	"flotilla.dev/flotilla/hub/source/oci"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

// pushed serves charts by tag from a registry that wants a password, over TLS, below /charts/podinfo.
func pushed(t *testing.T, charts map[string][]byte) (registry *lab.Registry, authority []byte) {
	t.Helper()
	trusted := lab.TestAuthority(t)
	registry = lab.TestRegistry(t, lab.RegistryConfig{SiteConfig: lab.SiteConfig{Authority: trusted}, Username: "me", Password: "hunter2"})
	for tag, data := range charts {
		artifact, err := (&lab.Chart{Archive: data, Metadata: []byte("{}")}).Artifact()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := registry.Push("charts/podinfo", tag, artifact); err != nil {
			t.Fatal(err)
		}
	}
	return registry, trusted.PEM()
}

// realRegistries has charts fetched from registries as the hub does it.
func realRegistries(t *testing.T) func(*helm.Config) {
	t.Helper()
	return func(config *helm.Config) {
		var err error
		if config.Registry, err = oci.New(oci.Config{Network: config.Network, Dir: t.TempDir(), Store: config.Store}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestChartsComeFromARealRegistry(t *testing.T) {
	t.Parallel()
	first, second := packed("podinfo", podinfo("1.0.0+b1")), packed("podinfo", podinfo("1.1.0"))
	registry, authority := pushed(t, map[string][]byte{"1.0.0_b1": first, "1.1.0": second, "2.0.0-rc.1": first, "latest": first})
	b, host := newBundle(t, realRegistries(t)), registry.Host()
	input := func(secret map[string][]byte) source.Input {
		spec := flux.HelmRepository{URL: "oci://" + host + "/charts", Type: flux.HelmRepositoryOCI}
		return source.Input{Field: "sourceRef", Name: "registry", Upstream: repository(spec, source.Secrets{"secretRef": secret, "certSecretRef": {"ca.crt": authority}})}
	}
	good := map[string][]byte{"username": []byte("me"), "password": []byte("hunter2")}
	for version, want := range map[string]struct {
		revision string
		data     []byte
	}{"": {"1.1.0", second}, "1.0.x": {"1.0.0+b1", first}, "1.0.0+b1": {"1.0.0+b1", first}, "<1.1.0": {"1.0.0+b1", first}} {
		found, got, data := b.chart(of(input(good), flux.HelmChart{Chart: "podinfo", Version: version}))
		if string(found.Revision) != want.revision || string(data) != string(want.data) || got.Tree.Files[0].Path != "podinfo-"+want.revision+".tgz" {
			t.Errorf("%q: %s, %s", version, found.Revision, got.Tree.Files[0].Path)
		}
	}
	// As a dependency.
	chart := chartYAML("umbrella", "1.0.0") + "dependencies: [{name: podinfo, version: 1.0.x, repository: 'oci://" + host + "/charts'}]\n"
	u := of(b.git(files{"Chart.yaml": chart}), flux.HelmChart{Chart: "."})
	u.Repositories = []source.Upstream{input(good).Upstream}
	_, _, data := b.chart(u)
	if subs := loaded(t, data).Dependencies(); len(subs) != 1 || subs[0].Metadata.Version != "1.0.0+b1" {
		t.Errorf("dependencies %v", subs)
	}

	_, err := b.Charts().Resolve(t.Context(), of(input(good), flux.HelmChart{Chart: "podinfo", Version: "3.x"}))
	fails(t, "no such version", err, source.KindRef, `no version of the chart "podinfo" in the range "3.x"`)
	_, err = b.Charts().Resolve(t.Context(), of(input(map[string][]byte{"username": []byte("me"), "password": []byte("hunter22")}), flux.HelmChart{Chart: "podinfo"}))
	fails(t, "a wrong password", err, source.KindAuth, "oci://"+host+"/charts/podinfo")
	_, err = b.Charts().Resolve(t.Context(), of(input(map[string][]byte{"username": []byte("me")}), flux.HelmChart{Chart: "podinfo"}))
	fails(t, "half a credential", err, source.KindAuth, "spec.secretRef of its HelmRepository: the Secret has one of username and password")
	_, err = b.Charts().Resolve(t.Context(), of(input(good), flux.HelmChart{Chart: "other", Version: "1.0.0"}))
	fails(t, "no such chart", err, source.KindRepository, `no chart "other"; check its name, and spec.url of its HelmRepository`)
	stranger := input(good)
	stranger.Secrets["certSecretRef"] = map[string][]byte{"ca.crt": lab.TestAuthority(t).PEM()}
	_, err = b.Charts().Resolve(t.Context(), of(stranger, flux.HelmChart{Chart: "podinfo"}))
	fails(t, "another authority", err, source.KindTLS, "ca.crt in the Secret of spec.certSecretRef of its HelmRepository")
}

// One that has a certificate to trust, say.
func TestASecretWithoutALoginLogsNobodyInToARegistry(t *testing.T) {
	t.Parallel()
	registry, authority := pushed(t, map[string][]byte{"1.0.0": packed("podinfo", podinfo("1.0.0"))})
	b := newBundle(t, realRegistries(t))
	u := repository(flux.HelmRepository{
		URL: "oci://" + registry.Host() + "/charts", Type: flux.HelmRepositoryOCI, SecretRef: &flux.SecretRef{Name: "authority"},
	}, source.Secrets{"secretRef": {"caFile": authority}})
	chart := of(source.Input{Name: "registry", Upstream: u}, flux.HelmChart{Chart: "podinfo", Version: "1.0.0"})
	_, err := b.Charts().Resolve(t.Context(), chart)
	fails(t, "a registry that wants a login", err, source.KindAuth, "name a Secret with username and password, or of type kubernetes.io/dockerconfigjson, in spec.secretRef of its HelmRepository")
	registry.Protect("", "")
	if found, _, _ := b.chart(chart); found.Revision != "1.0.0" {
		t.Errorf("found %+v", found)
	}
}

func TestARegistryThatHangsIsATimeoutOfTheChart(t *testing.T) {
	t.Parallel()
	hung := lab.TestRegistry(t, lab.RegistryConfig{})
	hung.Set(lab.Hang)
	b := newBundle(t, realRegistries(t))
	u := repository(flux.HelmRepository{URL: "oci://" + hung.Host(), Type: flux.HelmRepositoryOCI, Insecure: true}, nil)
	u.Timeout = 300 * time.Millisecond
	_, err := b.Charts().Resolve(t.Context(), of(source.Input{Name: "registry", Upstream: u}, flux.HelmChart{Chart: "podinfo"}))
	fails(t, "a registry that hangs", err, source.KindTimeout, "no answer within 300ms")
}
