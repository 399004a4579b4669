package source_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

// eachKind runs a test on every kind, those of HTTP alone if so asked.
func eachKind(t *testing.T, httpOnly bool, test func(t *testing.T, k kind)) {
	t.Helper()
	t.Parallel()
	for _, k := range kinds {
		if httpOnly && !k.http {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			test(t, k)
		})
	}
}

func TestEveryKindFetchesWhatUpstreamHolds(t *testing.T) {
	eachKind(t, false, func(t *testing.T, k kind) {
		s, hub := k.start(t, protection{}), newReplica(t, source.Addresses{})
		s.change("first content")
		first, fetched := hub.fetch(t, s.upstream)
		if first.Revision == "" || !hub.holds(t, fetched, "first content") {
			t.Errorf("found %+v, artifact %+v", first, fetched.Tree)
		}

		s.change("second content")
		second, again := hub.fetch(t, s.upstream)
		if second == first || again.Tree.Digest() == fetched.Tree.Digest() {
			t.Errorf("after a change it is %+v as before, or the same Tree", second)
		}
		if !hub.holds(t, again, "second content") || hub.holds(t, again, "first content") {
			t.Errorf("after a change the artifact is %+v", again.Tree)
		}
	})
}

func TestEveryKindAsksOnceAndFetchesNothingWhileNothingChanges(t *testing.T) {
	eachKind(t, false, func(t *testing.T, k kind) {
		s, hub := k.start(t, protection{}), newReplica(t, source.Addresses{})
		s.change("content")
		found, _ := hub.fetch(t, s.upstream)
		asked, fetched := s.asked(), s.fetched()
		again, err := hub.Resolve(t.Context(), s.upstream)
		if err != nil || again != found {
			t.Errorf("found %+v, %v; want %+v as before", again, err, found)
		}
		if questions := s.asked() - asked; questions != max(k.questions, 1) {
			t.Errorf("%d questions, want %d", questions, max(k.questions, 1))
		}
		if transfers := s.fetched() - fetched; transfers != 0 && k.http {
			t.Errorf("content was fetched %d times", transfers)
		}
	})
}

// The umask is the process's: this test runs beside no other.
func TestEveryKindGivesTheSameDigestEverywhere(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			var digests []string
			for _, mask := range []int{0o000, 0o077} {
				// Another server, another directory, another time.
				s, hub := k.start(t, protection{}), newReplica(t, source.Addresses{})
				s.change("the same content")
				before := syscall.Umask(mask)
				_, fetched := hub.fetch(t, s.upstream)
				syscall.Umask(before)
				digests = append(digests, fetched.Tree.Digest().String())
			}
			if digests[0] != digests[1] {
				t.Errorf("digests %s of the same content", digests)
			}
		})
	}
}

func TestEveryKindIsLetInByItsCredential(t *testing.T) {
	eachKind(t, false, func(t *testing.T, k kind) {
		s, hub := k.start(t, protection{password: true}), newReplica(t, source.Addresses{})
		s.change("content")
		for name, u := range map[string]source.Upstream{"missing": s.anonymous(s.upstream), "wrong": s.wrong(s.upstream)} {
			check(t, name, hub.try(t.Context(), u), u, source.KindAuth, source.KindInvalid)
		}
		if _, fetched := hub.fetch(t, s.upstream); !hub.holds(t, fetched, "content") {
			t.Errorf("artifact %+v", fetched.Tree)
		}
	})
}

func TestEveryKindTrustsTheAuthorityThatItIsGiven(t *testing.T) {
	eachKind(t, true, func(t *testing.T, k kind) {
		ours := lab.TestAuthority(t)
		for name, p := range map[string]protection{
			"TLS":                             {authority: ours, password: true},
			"a certificate of the client":     {authority: ours, clients: true},
			"a certificate, and a credential": {authority: ours, clients: true, password: true},
		} {
			s, hub := k.start(t, p), newReplica(t, source.Addresses{})
			s.change("content")
			if _, fetched := hub.fetch(t, s.upstream); !hub.holds(t, fetched, "content") {
				t.Errorf("%s: artifact %+v", name, fetched.Tree)
			}
			for title, trust := range map[string]map[string][]byte{"no authority": nil, "another authority": {"ca.crt": lab.TestAuthority(t).PEM()}} {
				u := retrusted(s.upstream, trust)
				check(t, name+", "+title, hub.try(t.Context(), u), u, source.KindTLS)
			}
			if p.clients {
				u := retrusted(s.upstream, map[string][]byte{"ca.crt": ours.PEM()})
				check(t, name+", no certificate", hub.try(t.Context(), u), u, source.KindTLS, source.KindAuth, source.KindConnect)
			}
		}
	})
}

// retrusted has other keys of TLS, in whichever Secret they are.
func retrusted(u source.Upstream, trust map[string][]byte) source.Upstream {
	for field, keys := range u.Secrets {
		if len(keys["ca.crt"]) == 0 {
			continue
		}
		rest := map[string][]byte{}
		for key, value := range keys {
			if key != "ca.crt" && key != "tls.crt" && key != "tls.key" {
				rest[key] = value
			}
		}
		u = with(u, field, rest, trust)
	}
	u.Inputs = slices.Clone(u.Inputs)
	for i := range u.Inputs {
		u.Inputs[i].Upstream = retrusted(u.Inputs[i].Upstream, trust)
	}
	return u
}

func TestEveryKindSaysHowItsServerFailed(t *testing.T) {
	broken := []source.Kind{source.KindConnect, source.KindServer}
	for name, tc := range map[string]struct {
		fault    lab.Fault
		kinds    []source.Kind
		httpOnly bool
	}{
		"reset":        {lab.Reset, broken, false},
		"hang":         {lab.Hang, []source.Kind{source.KindTimeout}, false},
		"hang halfway": {lab.HangHalfway, []source.Kind{source.KindTimeout}, false},
		"half":         {lab.Half, broken, false},
		"garbage":      {lab.Garbage, []source.Kind{source.KindServer, source.KindContent, source.KindConnect}, false},
		"401":          {lab.Status(http.StatusUnauthorized), []source.Kind{source.KindAuth}, true},
		"403":          {lab.Status(http.StatusForbidden), []source.Kind{source.KindAuth}, true},
		// Server: what was listed a moment ago is gone.
		"404":  {lab.Status(http.StatusNotFound), []source.Kind{source.KindRepository, source.KindRef, source.KindServer}, true},
		"500":  {lab.Status(http.StatusInternalServerError), []source.Kind{source.KindServer}, true},
		"loop": {lab.RedirectLoop, []source.Kind{source.KindRedirect}, true},
	} {
		t.Run(name, func(t *testing.T) {
			eachKind(t, tc.httpOnly, func(t *testing.T, k kind) {
				s, hub := k.start(t, protection{password: true}), newReplica(t, source.Addresses{})
				s.change("content")
				u := within(s.upstream, time.Minute)
				if strings.HasPrefix(name, "hang") {
					u = within(s.upstream, time.Second)
				}
				s.server.Set(tc.fault)
				_, err := hub.Resolve(t.Context(), u)
				if err != nil || !k.header || name != "half" {
					check(t, "resolve", err, u, tc.kinds...)
				}
				s.server.Clear()
				found, err := hub.Resolve(t.Context(), s.upstream)
				if err != nil {
					t.Fatalf("resolve, when it is well again: %v", err)
				}

				s.server.Set(tc.fault)
				_, err = hub.Fetch(t.Context(), u, found)
				if s.server.Struck() > 0 || err != nil { // else nothing was left to ask
					check(t, "fetch", err, u, tc.kinds...)
				}
				s.server.Clear()
				fetched, err := hub.Fetch(t.Context(), s.upstream, found)
				if err != nil || !hub.holds(t, fetched, "content") {
					t.Errorf("fetch, when it is well again: %v", err)
				}
			})
		})
	}
}

func TestBytesThatEveryKindReceivesAreCountedAsItsOwn(t *testing.T) {
	eachKind(t, false, func(t *testing.T, k kind) {
		s, hub := k.start(t, protection{}), newReplica(t, source.Addresses{})
		s.change("content")
		hub.fetch(t, s.upstream)
		all := hub.received(t)
		others := 1 // what a chart is of
		if len(s.upstream.Inputs) == 0 {
			others = 0
		}
		if all[cmp.Or(k.of, s.upstream.Kind)] < 10 || len(all) > 1+others || all["none"] > 0 {
			t.Errorf("received are %v", all)
		}
	})
}

func TestEveryKindIsRefusedByAServerThatIsDown(t *testing.T) {
	eachKind(t, false, func(t *testing.T, k kind) {
		s, hub := k.start(t, protection{password: true}), newReplica(t, source.Addresses{})
		s.change("content")
		s.server.Down()
		check(t, "down", hub.try(t.Context(), s.upstream), s.upstream, source.KindConnect)
		if err := s.server.Up(); err != nil {
			t.Fatal(err)
		}
		if _, fetched := hub.fetch(t, s.upstream); !hub.holds(t, fetched, "content") {
			t.Errorf("when it is up again the artifact is %+v", fetched.Tree)
		}
	})
}

func TestEveryKindLeavesAHostAloneThatAsksForIt(t *testing.T) {
	eachKind(t, true, func(t *testing.T, k kind) {
		s, hub := k.start(t, protection{}), newReplica(t, source.Addresses{})
		s.change("content")
		var failure *source.Error
		for _, status := range []int{http.StatusServiceUnavailable, http.StatusTooManyRequests} {
			s.server.Set(lab.StatusRetryAfter(status, 3*time.Second))
			_, err := newReplica(t, source.Addresses{}).Resolve(t.Context(), s.upstream)
			check(t, http.StatusText(status), err, s.upstream, source.KindBusy)
			if !errors.As(err, &failure) || failure.RetryAfter <= 0 || failure.RetryAfter > 3*time.Second {
				t.Errorf("%d: error %v does not say when to come again", status, err)
			}
		}
		// So long that it cannot be over meanwhile, however slow the machine is.
		const long = 10 * time.Minute
		s.server.Set(lab.StatusRetryAfter(http.StatusTooManyRequests, long))
		patient := newReplica(t, source.Addresses{})
		check(t, "first", patient.try(t.Context(), s.upstream), s.upstream, source.KindBusy)
		s.server.Clear()
		asked := s.asked()
		err := patient.try(t.Context(), s.upstream)
		check(t, "meanwhile", err, s.upstream, source.KindBusy)
		if !errors.As(err, &failure) || failure.RetryAfter <= 0 || failure.RetryAfter > long {
			t.Errorf("error %v does not say when to come again", err)
		}
		if s.asked() != asked {
			t.Error("it was asked all the same")
		}

		s.server.Set(lab.StatusRetryAfter(http.StatusTooManyRequests, time.Second))
		check(t, "for a second", hub.try(t.Context(), s.upstream), s.upstream, source.KindBusy)
		s.server.Clear()
		lab.Eventually(t, 30*time.Second, "it is asked again", func() error { return hub.try(t.Context(), s.upstream) })
	})
}

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
			check(t, name+", a wrong password for the proxy", hub.try(t.Context(), u), u, source.KindAuth, source.KindConnect)
			if s.asked() != asked {
				t.Errorf("%s: it went past the proxy", name)
			}
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

func TestEveryKindEndsWhenItIsCalledOff(t *testing.T) {
	eachKind(t, false, func(t *testing.T, k kind) {
		s, hub := k.start(t, protection{password: true}), newReplica(t, source.Addresses{})
		s.change("content")
		u := within(s.upstream, time.Hour)
		calls := map[string]func(ctx context.Context) error{
			"resolve": func(ctx context.Context) error { _, err := hub.Resolve(ctx, u); return err },
		}
		found, err := hub.Resolve(t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		calls["fetch"] = func(ctx context.Context) error { _, err := hub.Fetch(ctx, u, found); return err }
		for name, call := range calls {
			s.server.Set(lab.Hang)
			ctx, cancel := context.WithCancelCause(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- call(ctx) }()
			select {
			case err := <-ended:
				if s.server.Struck() > 0 || err != nil {
					t.Errorf("%s: it ended by itself: %v", name, err)
				}
			case <-struck(t, s.server):
				why := errors.New("the hub stops")
				cancel(why)
				select {
				case err := <-ended:
					if source.KindOf(err) != source.KindCanceled || !errors.Is(err, why) {
						t.Errorf("%s: error %v, want that it was called off", name, err)
					}
				case <-time.After(30 * time.Second):
					t.Errorf("%s: it goes on when it is called off", name)
				}
			}
			cancel(nil)
			s.server.Clear()
		}
	})
}

// struck is closed when the fault has hit.
func struck(t *testing.T, s server) <-chan struct{} {
	t.Helper()
	hit := make(chan struct{})
	go func() {
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for s.Struck() == 0 {
			select {
			case <-ticker.C:
			case <-t.Context().Done():
				return
			}
		}
		close(hit)
	}()
	return hit
}

// check wants an error of one of the kinds that people can act on: it names the upstream and a way out, and no secret.
func check(t *testing.T, name string, err error, u source.Upstream, kinds ...source.Kind) {
	t.Helper()
	var failure *source.Error
	if !errors.As(err, &failure) {
		t.Errorf("%s: error %v, want a failure of a source", name, err)
		return
	}
	if !slices.Contains(kinds, failure.Kind) {
		t.Errorf("%s: %s error %q, want one of %v", name, failure.Kind, err, kinds)
	}
	if !strings.HasPrefix(failure.URL, source.Redact(u.URL)) || !strings.HasPrefix(err.Error(), failure.URL+": ") {
		t.Errorf("%s: error %q does not begin with %s", name, err, u.URL)
	}
	if !strings.ContainsAny(failure.Text, ";?:,") {
		t.Errorf("%s: error %q says no way out", name, err)
	}
	for _, secret := range []string{rightPassword, wrongPassword, lab.SecretOfServer, "PRIVATE KEY"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: error %q shows %q", name, err, secret)
		}
	}
}
