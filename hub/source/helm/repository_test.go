package helm_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/helm"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

func TestTheRevisionOfARepositoryIsTheDigestOfItsIndex(t *testing.T) {
	t.Parallel()
	b, s := newBundle(t), serve(t)
	index := s.publish(packed("podinfo", podinfo("1.0.0")))
	found, got, err := fetched(t.Context(), b.Repositories(), repository(s.spec(), nil))
	if err != nil {
		t.Fatal(err)
	}
	if want := fleet.DigestOf(index).String(); string(found.Revision) != want || !found.Inputs.IsZero() {
		t.Errorf("found %+v, want revision %s", found, want)
	}
	if len(got.Tree.Files) != 1 || got.Tree.Files[0].Path != "index.yaml" || string(b.content(got)) != string(index) || got.Detail.Size != int64(len(index)) {
		t.Errorf("tree %+v, detail %+v", got.Tree.Files, got.Detail)
	}
}

func TestAnIndexThatDidNotChangeIsNotSentAgain(t *testing.T) {
	t.Parallel()
	b, s := newBundle(t), serve(t)
	s.publish(packed("podinfo", podinfo("1.0.0")))
	u := repository(s.spec(), nil)
	first, err := b.Repositories().Resolve(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.Repositories().Resolve(t.Context(), u)
	if err != nil || second != first {
		t.Fatalf("%+v after %+v: %v", second, first, err)
	}
	if diff := cmp.Diff([]string{"/charts/index.yaml 200 ", "/charts/index.yaml 304 "}, s.seen()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	// Others of the same server do with what was said since they became due.
	u.ID, u.AsOf = "another", time.Now().Add(-time.Hour)
	if third, err := b.Repositories().Resolve(t.Context(), u); err != nil || third != first || len(s.seen()) != 0 {
		t.Errorf("%+v, %v, and the server was asked", third, err)
	}
	s.publish(packed("podinfo", podinfo("1.0.0")), packed("podinfo", podinfo("2.0.0")))
	u.AsOf = time.Time{}
	if changed, err := b.Repositories().Resolve(t.Context(), u); err != nil || changed == first {
		t.Errorf("%+v, %v: the new index was not seen", changed, err)
	}
}

func TestAnIndexThatTheStoreLostIsDownloadedAgain(t *testing.T) {
	t.Parallel()
	s := serve(t)
	index := s.publish(packed("podinfo", podinfo("1.0.0")))
	u := repository(s.spec(), nil)
	found, err := newBundle(t).Repositories().Resolve(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	other := newBundle(t) // another replica, or a store that swept
	got, err := other.Repositories().Fetch(t.Context(), u, found)
	if err != nil || string(other.content(got)) != string(index) {
		t.Fatalf("%v, %v", got, err)
	}
	s.publish(packed("podinfo", podinfo("1.0.0")), packed("podinfo", podinfo("2.0.0")))
	_, err = newBundle(t).Repositories().Fetch(t.Context(), u, found)
	fails(t, "changed meanwhile", err, source.KindServer, "the index changed while it was fetched")
}

func TestNothingIsFetchedOfARegistrysRepository(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	spec := flux.HelmRepository{URL: "oci://registry.example.com/charts", Type: flux.HelmRepositoryOCI}
	if !source.Static(spec) || source.Static(flux.HelmRepository{URL: "https://a.example"}) || !source.Static(flux.ExternalArtifact{}) || source.Static(flux.HelmChart{}) {
		t.Error("what is static is not said to be")
	}
	_, err := b.Repositories().Resolve(t.Context(), repository(spec, nil))
	fails(t, "oci", err, source.KindInvalid, "nothing is fetched")
}

func TestRepositorysFailuresSayWhatToDo(t *testing.T) {
	t.Parallel()
	secret := func(kv ...string) source.Secrets {
		data := map[string][]byte{}
		for i := 0; i < len(kv); i += 2 {
			data[kv[i]] = []byte(kv[i+1])
		}
		return source.Secrets{"secretRef": data}
	}
	for name, test := range map[string]struct {
		prepare func(*server)
		secrets source.Secrets
		kind    source.Kind
		says    []string
	}{
		"no credential":      {func(s *server) { s.Protect("me", "hunter2") }, nil, source.KindAuth, []string{"index.yaml", "spec.secretRef names no Secret"}},
		"an empty Secret":    {func(s *server) { s.Protect("me", "hunter2") }, secret("token", "x"), source.KindAuth, []string{"the Secret of spec.secretRef has none"}},
		"a wrong credential": {func(s *server) { s.Protect("me", "hunter2") }, secret("username", "me", "password", "hunter22"), source.KindAuth, []string{"are wrong"}},
		"half a credential":  {func(*server) {}, secret("username", "me"), source.KindAuth, []string{"spec.secretRef: the Secret has one of username and password, and both are needed"}},
		"no index":           {func(s *server) { s.breakAt("/charts/index.yaml", lab.Status(http.StatusNotFound)) }, nil, source.KindRepository, []string{"index.yaml is not there"}},
		"an empty one":       {func(s *server) { s.ServeFile("/charts/index.yaml", nil) }, nil, source.KindContent, []string{"index.yaml is empty"}},
		"a page":             {func(s *server) { s.ServeFile("/charts/index.yaml", []byte("<html><body>sign in</body></html>")) }, nil, source.KindContent, []string{"index.yaml"}},
		"no version":         {func(s *server) { s.ServeFile("/charts/index.yaml", []byte("entries: {}\n")) }, nil, source.KindContent, []string{"index.yaml has no apiVersion"}},
		"one that is large":  {func(s *server) { s.ServeFile("/charts/index.yaml", make([]byte, 2<<20)) }, nil, source.KindLimit, []string{"index.yaml has more than 1 MiB"}},
		"turning in circles": {func(s *server) { s.breakAt("/charts/index.yaml", lab.RedirectTo("/charts/index.yaml")) }, nil, source.KindRedirect, []string{"over and over"}},
		"a file":             {func(s *server) { s.breakAt("/charts/index.yaml", lab.RedirectTo("file:///etc/passwd")) }, nil, source.KindRedirect, []string{"where there is no HTTP"}},
		"a metadata service": {func(s *server) { s.breakAt("/charts/index.yaml", lab.RedirectTo("http://169.254.169.254/latest")) }, nil, source.KindAddress, []string{"it redirects to http://169.254.169.254/latest: its address 169.254.169.254 is not allowed"}},
		"no certificate":     {func(*server) {}, secret("ca.crt", "nothing"), source.KindAuth, []string{"spec.secretRef: ca.crt of the Secret holds no certificate"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, s := newBundle(t, func(c *helm.Config) { c.Limits.Index = 1 << 20 }), serve(t)
			s.publish(packed("podinfo", podinfo("1.0.0")))
			test.prepare(s)
			_, err := b.Repositories().Resolve(t.Context(), repository(s.spec(), test.secrets))
			fails(t, name, err, test.kind, test.says...)
			if !strings.HasPrefix(err.Error(), s.URL()+"/charts: ") {
				t.Errorf("%s: %q does not begin with what was declared", name, err)
			}
		})
	}
}

func TestAQueryOfTheRepositoryIsSentWithWhatItNamesRelatively(t *testing.T) {
	t.Parallel()
	b, s := newBundle(t), serve(t)
	s.publish(packed("podinfo", podinfo("1.0.0")))
	spec := s.spec()
	spec.URL += "?sig=hunter2"
	b.chart(of(b.index(repository(spec, nil)), flux.HelmChart{Chart: "podinfo"}))
	if diff := cmp.Diff([]string{"/charts/index.yaml?sig=hunter2 200 ", "/charts/podinfo-1.tgz?sig=hunter2 200 "}, s.seen()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	s.breakAt("/charts/podinfo-1.tgz", lab.Status(http.StatusNotFound))
	_, _, err := fetched(t.Context(), b.Charts(), of(b.index(repository(spec, nil)), flux.HelmChart{Chart: "podinfo"}))
	fails(t, "a chart that is gone", err, source.KindRepository, "chart podinfo 1.0.0 is not there")
}

func TestAServerThatWantsToBeLeftAloneIs(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		busy := serve(t)
		busy.Set(lab.StatusRetryAfter(status, 5*time.Minute))
		b := newBundle(t)
		for range 2 {
			_, err := b.Repositories().Resolve(t.Context(), repository(busy.spec(), nil))
			fails(t, http.StatusText(status), err, source.KindBusy, "asked to be left alone")
			var failure *source.Error
			if !errors.As(err, &failure) || failure.RetryAfter < 4*time.Minute {
				t.Errorf("%v does not say when", err)
			}
		}
		if n := len(busy.Visits()); n != 1 {
			t.Errorf("it was asked %d times", n)
		}
	}
}

// A server that takes its time must not keep others from theirs.
func TestServersThatHangHoldUpNoOthers(t *testing.T) {
	t.Parallel()
	b, s := newBundle(t), serve(t)
	s.publish(packed("podinfo", podinfo("1.0.0")))
	slow := serve(t)
	slow.Set(lab.HangHalfway)
	failed := make(chan error, 4)
	for i := range 4 {
		at := strings.Repeat("/x", i+1)
		slow.ServeFile(at+"/index.yaml", []byte("apiVersion: v1\nentries: {}\n"))
		u := repository(flux.HelmRepository{URL: slow.URL() + at}, nil)
		u.Timeout = 3 * time.Second
		go func() { _, err := b.Repositories().Resolve(t.Context(), u); failed <- err }()
	}
	lab.Eventually(t, time.Minute, "four that hang", func() error {
		if n := slow.Struck(); n != 4 {
			return fmt.Errorf("%d do", n)
		}
		return nil
	})
	if _, err := b.Repositories().Resolve(t.Context(), repository(s.spec(), nil)); err != nil {
		t.Errorf("beside servers that hang: %v", err)
	}
	if len(failed) != 0 {
		t.Error("those that hang had ended: nothing was proved")
	}
	for range 4 {
		fails(t, "a server that hangs", <-failed, source.KindTimeout)
	}
}
