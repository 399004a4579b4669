package source_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

func TestEveryKindIsLetInByItsCredential(t *testing.T) {
	eachKind(t, false, func(t *testing.T, k kind) {
		s, hub := k.start(t, protection{password: true}), newReplica(t, source.Addresses{})
		s.change("content")
		for name, u := range map[string]source.Upstream{"missing": s.anonymous(s.upstream), "wrong": s.wrong(s.upstream)} {
			check(t, name, hub.try(t.Context(), u), u, source.KindAuth)
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

// What is in it is not shown, and it is tried again: Secrets change.
func TestEveryKindSaysThatASecretWillNotDo(t *testing.T) {
	eachKind(t, false, func(t *testing.T, k kind) {
		authority := lab.TestAuthority(t)
		s, hub := k.start(t, protection{authority: authority, password: true}), newReplica(t, source.Addresses{})
		s.change("content")
		odd := []byte(wrongPassword)
		upstreams := map[string]source.Upstream{"a credential": s.unfit(s.upstream)}
		if k.http {
			upstreams["an authority"] = retrusted(s.upstream, map[string][]byte{"ca.crt": odd})
			upstreams["a certificate"] = retrusted(s.upstream, map[string][]byte{"ca.crt": authority.PEM(), "tls.crt": odd, "tls.key": odd})
			upstreams["half a certificate"] = retrusted(s.upstream, map[string][]byte{"ca.crt": authority.PEM(), "tls.crt": odd})
		}
		if k.proxy {
			upstreams["a proxy"] = with(s.upstream, "proxySecretRef", map[string][]byte{"address": odd})
		}
		asked := s.asked()
		for name, u := range upstreams {
			var failure *source.Error
			err := hub.try(t.Context(), u)
			if !errors.As(err, &failure) || failure.Kind != source.KindAuth || failure.Reason != "AuthenticationFailed" || strings.Contains(err.Error(), wrongPassword) || !strings.Contains(err.Error(), "the Secret") {
				t.Errorf("%s: %s error %v (%+v), want one of authentication", name, source.KindOf(err), err, failure)
			}
		}
		if s.asked() != asked {
			t.Error("the server was asked all the same")
		}
	})
}

// Of Secrets that signatures are verified by Flux says something else, and it is tried again as well.
func TestEveryKindSaysThatNothingCanBeVerifiedByASecret(t *testing.T) {
	eachKind(t, false, func(t *testing.T, k kind) {
		if !k.verify {
			return
		}
		s, hub := k.start(t, protection{}), newReplica(t, source.Addresses{})
		s.change("content")
		for name, keys := range map[string]map[string][]byte{
			"no key":   {"other": []byte(wrongPassword)},
			"no key's": {"a.pub": []byte(wrongPassword), "a.asc": []byte(wrongPassword)},
		} {
			err := hub.try(t.Context(), verified(t, with(s.upstream, "verify.secretRef", keys)))
			if source.KindOf(err) != source.KindSignature || strings.Contains(err.Error(), wrongPassword) || !strings.Contains(err.Error(), "spec.verify.secretRef") {
				t.Errorf("%s: %s error %v, want one of signatures", name, source.KindOf(err), err)
			}
		}
	})
}

// verified asks for signatures.
func verified(t *testing.T, u source.Upstream) source.Upstream {
	t.Helper()
	keys := flux.SecretRef{Name: "keys"}
	switch spec := u.Spec.(type) {
	case flux.GitRepository:
		spec.Verify = &flux.GitVerify{Mode: "HEAD", SecretRef: keys}
		u.Spec = spec
	case flux.OCIRepository:
		spec.Verify = &flux.OCIVerify{Provider: flux.Cosign, SecretRef: &keys}
		u.Spec = spec
	case flux.HelmChart:
		spec.Verify = &flux.OCIVerify{Provider: flux.Cosign, SecretRef: &keys}
		u.Spec = spec
	default:
		t.Fatalf("%T has no spec.verify", spec)
	}
	return u
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
