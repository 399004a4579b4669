package source_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

func TestEveryKindKeepsItsCredentialFromOtherHosts(t *testing.T) {
	eachKind(t, true, func(t *testing.T, k kind) {
		trap := lab.TestSite(t, lab.SiteConfig{}, http.NotFoundHandler())
		s, hub := k.start(t, protection{password: true}), newReplica(t, source.Addresses{})
		s.change("content")
		s.server.Set(lab.Redirect(trap.URL()))
		wanted := []source.Kind{source.KindRedirect}
		if k.elsewhere { // there is nothing
			wanted = append(wanted, source.KindRepository, source.KindRef, source.KindServer)
		}
		_, err := hub.Resolve(t.Context(), s.upstream)
		check(t, "resolve", err, s.upstream, wanted...)
		s.server.Clear()
		found, err := hub.Resolve(t.Context(), s.upstream)
		if err != nil {
			t.Fatal(err)
		}
		s.server.Set(lab.Redirect(trap.URL()))
		if _, err := hub.Fetch(t.Context(), s.upstream, found); s.server.Struck() > 0 {
			check(t, "fetch", err, s.upstream, wanted...)
		}
		for _, visit := range trap.Visits() {
			if !k.elsewhere {
				t.Errorf("another host was asked for %s", visit.Path)
			}
			if shown := fmt.Sprint(visit); visit.Header.Get("Authorization") != "" || strings.Contains(shown, rightPassword) {
				t.Errorf("another host was shown the credential: %s", visit.Path)
			}
		}
	})
}

func TestEveryKindFollowsARedirectAtItsHost(t *testing.T) {
	eachKind(t, true, func(t *testing.T, k kind) {
		if k.signed {
			return
		}
		s, hub := k.start(t, protection{password: true}), newReplica(t, source.Addresses{})
		s.change("content")
		s.server.Set(lab.MovedHere)
		if _, fetched := hub.fetch(t, s.upstream); !hub.holds(t, fetched, "content") || s.server.Struck() == 0 {
			t.Errorf("artifact %+v", fetched.Tree)
		}
	})
}

func TestEveryKindGoesOnlyWhereItMay(t *testing.T) {
	eachKind(t, false, func(t *testing.T, k kind) {
		s := k.start(t, protection{password: true})
		s.change("content")
		strict := newReplica(t, source.Addresses{DenyPrivate: true})
		asked := s.asked()
		err := strict.try(t.Context(), s.upstream)
		check(t, "a private address", err, s.upstream, source.KindAddress)
		if err != nil && !strings.Contains(err.Error(), "127.0.0.1 is not allowed") {
			t.Errorf("error %q does not name the address", err)
		}
		if s.asked() != asked {
			t.Error("the server was asked")
		}

		excepted := newReplica(t, source.Addresses{DenyPrivate: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
		found, err := excepted.Resolve(t.Context(), s.upstream)
		if err != nil {
			t.Fatalf("an exception: %v", err)
		}
		if !k.http {
			return
		}
		s.server.Set(lab.Redirect("http://169.254.169.254"))
		_, err = excepted.Fetch(t.Context(), s.upstream, found)
		if s.server.Struck() > 0 {
			check(t, "a redirect to the metadata service", err, s.upstream, source.KindAddress, source.KindRedirect)
		}
		_, err = excepted.Resolve(t.Context(), s.upstream)
		check(t, "a redirect to the metadata service", err, s.upstream, source.KindAddress, source.KindRedirect)
	})
}

func TestEveryKindGoesThroughItsProxy(t *testing.T) {
	eachKind(t, false, func(t *testing.T, k kind) {
		if !k.proxy {
			return
		}
		authority := lab.TestAuthority(t)
		for name, p := range map[string]protection{"plain": {password: true}, "TLS": {password: true, authority: authority}} {
			s, hub := k.start(t, p), newReplica(t, source.Addresses{})
			s.change("content")
			proxy := lab.TestProxy(t, lab.ProxyConfig{Username: "proxy", Password: rightPassword})
			through := func(password string) source.Upstream {
				return with(s.upstream, "proxySecretRef", map[string][]byte{
					"address": []byte(proxy.URL()), "username": []byte("proxy"), "password": []byte(password),
				})
			}
			u := through(wrongPassword)
			asked := s.asked()
			check(t, name+", a wrong password for the proxy", hub.try(t.Context(), u), u, source.KindAuth)
			if s.asked() != asked {
				t.Errorf("%s: it went past the proxy", name)
			}
			u = with(s.upstream, "proxySecretRef", map[string][]byte{"address": []byte("http://169.254.169.254:80")})
			check(t, name+", a proxy at the metadata service", hub.try(t.Context(), u), u, source.KindAddress)
			if _, fetched := hub.fetch(t, through(rightPassword)); !hub.holds(t, fetched, "content") {
				t.Errorf("%s: artifact %+v", name, fetched.Tree)
			}
			if proxy.Passed(s.server.Host()) == 0 {
				t.Errorf("%s: nothing passed the proxy", name)
			}
			// What is behind a proxy is chosen by the source all the same.
			strict := newReplica(t, source.Addresses{DenyPrivate: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
			passed := len(proxy.Visits())
			u = moved(through(rightPassword), s.server.Host(), "169.254.169.254:80")
			check(t, name+", metadata behind the proxy", strict.try(t.Context(), u), u, source.KindAddress)
			if len(proxy.Visits()) != passed {
				t.Errorf("%s: the proxy was asked for the metadata service", name)
			}
			proxy.Down()
			u = through(rightPassword)
			check(t, name+", the proxy is down", hub.try(t.Context(), u), u, source.KindConnect)
		}
	})
}

// moved is an upstream at another host and port.
func moved(u source.Upstream, from, to string) source.Upstream {
	u.URL = strings.Replace(u.URL, from, to, 1)
	switch spec := u.Spec.(type) {
	case flux.GitRepository:
		spec.URL = strings.Replace(spec.URL, from, to, 1)
		u.Spec = spec
	case flux.OCIRepository:
		spec.URL = strings.Replace(spec.URL, from, to, 1)
		u.Spec = spec
	case flux.Bucket:
		spec.Endpoint = strings.Replace(spec.Endpoint, from, to, 1)
		u.Spec = spec
	}
	return with(u, "")
}
