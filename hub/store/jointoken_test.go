package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// register makes a join token of that id for a cluster; its secret's hash is that of the id.
func (b *bundle) register(cluster, id string, ttl time.Duration, rejoin bool) error {
	b.t.Helper()
	token := fleet.JoinToken{ID: id, SecretHash: fleet.DigestOf([]byte(id)), TTL: ttl}
	_, _, err := b.RegisterCluster(b.t.Context(), admin, object(b.t, clusterYAML(cluster, "prod")), token, rejoin, false)
	return err
}

// redeem redeems a token that register made.
func (b *bundle) redeem(id, secret, key string) error {
	b.t.Helper()
	return b.redeemIn("", id, secret, key)
}

// redeemIn redeems a token from the Kubernetes cluster of that UID.
func (b *bundle) redeemIn(uid, id, secret, key string) error {
	b.t.Helper()
	issue := func(string) (fleet.Certificate, error) { return certificate(key), nil }
	_, _, err := b.RedeemToken(b.t.Context(), id, fleet.DigestOf([]byte(secret)), fleet.DigestOf([]byte(key)), uid, issue)
	return err
}

// certificate is one that is issued now.
func certificate(serial string) fleet.Certificate {
	return fleet.Certificate{Serial: serial, IssuedAt: time.Now()}
}

func TestJoinTokenIsRefusedInTheSameWordsWhateverIsWrongWithIt(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for cluster, ttl := range map[string]time.Duration{"prod-1": time.Hour, "prod-2": -time.Second} {
		if err := b.register(cluster, "token-of-"+cluster, ttl, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.redeem("token-of-prod-1", "token-of-prod-1", "its key"); err != nil {
		t.Fatal(err)
	}
	var words string
	for name, err := range map[string]error{
		"unknown":      b.redeem("no-such-token", "x", "key"),
		"run out":      b.redeem("token-of-prod-2", "token-of-prod-2", "key"),
		"wrong secret": b.redeem("token-of-prod-1", "guess", "its key"),
		"another key":  b.redeem("token-of-prod-1", "token-of-prod-1", "another key"),
	} {
		if !errors.Is(err, fleet.ErrDenied) {
			t.Errorf("%s: %v, not ErrDenied", name, err)
		} else if words == "" {
			words = err.Error()
		} else if err.Error() != words {
			t.Errorf("%s: %q tells it from %q", name, err, words)
		}
	}
}

func TestJoinTokenIsOfNoUseAfterTenGuessesAtItsSecret(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for _, test := range []struct {
		cluster string
		guesses int
		want    error
	}{{"prod-1", 9, nil}, {"prod-2", 10, fleet.ErrDenied}} {
		if err := b.register(test.cluster, test.cluster, time.Hour, false); err != nil {
			t.Fatal(err)
		}
		for range test.guesses {
			if err := b.redeem(test.cluster, "guess", "key"); !errors.Is(err, fleet.ErrDenied) {
				t.Fatalf("a guess: %v, not ErrDenied", err)
			}
		}
		if err := b.redeem(test.cluster, test.cluster, "key"); !errors.Is(err, test.want) {
			t.Errorf("the right secret after %d guesses: %v, want %v", test.guesses, err, test.want)
		}
	}
}

// A token that was used is good for its key until it runs out: were it left, whoever has that key could end the
// certificate of the spoke that joins anew.
func TestNewJoinTokenEndsAllBeforeIt(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for _, step := range []struct {
		register string
		rejoin   bool
		redeem   string
		want     error
	}{
		{register: "first"},
		{register: "second", redeem: "first", want: fleet.ErrDenied},
		{redeem: "second"},
		{redeem: "second"},
		{register: "third", rejoin: true, redeem: "second", want: fleet.ErrDenied},
		{redeem: "third"},
	} {
		if step.register != "" {
			if err := b.register("prod-1", step.register, time.Hour, step.rejoin); err != nil {
				t.Fatal(err)
			}
		}
		if step.redeem != "" {
			if err := b.redeem(step.redeem, step.redeem, "key"); !errors.Is(err, step.want) {
				t.Errorf("token %s: %v, want %v", step.redeem, err, step.want)
			}
		}
	}
	if err := b.register("prod-1", "fourth", time.Hour, false); !errors.Is(err, fleet.ErrExists) {
		t.Errorf("a token for a cluster that has joined, without rejoin: %v, not ErrExists", err)
	}
}

func TestJoinTokenIsGoodInOneKubernetesCluster(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for _, step := range []struct {
		register, redeem, uid string
		want                  error
	}{
		{register: "first", redeem: "first", uid: "a"},
		{redeem: "first", uid: "a"},
		{redeem: "first", uid: ""}, // not known this time
		{redeem: "first", uid: "b", want: fleet.ErrDenied},
		{register: "second", redeem: "second", uid: "b"}, // the cluster was rebuilt
		{redeem: "second", uid: "a", want: fleet.ErrDenied},
	} {
		if step.register != "" {
			if err := b.register("prod-1", step.register, time.Hour, true); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.redeemIn(step.uid, step.redeem, step.redeem, "key"); !errors.Is(err, step.want) {
			t.Errorf("token %s in %q: %v, want %v", step.redeem, step.uid, err, step.want)
		}
	}
}

func TestTokenWithoutACertificateInReturnIsNotUsed(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	if err := b.register("prod-1", "token", time.Hour, false); err != nil {
		t.Fatal(err)
	}
	for name, issue := range map[string]func(context.CancelFunc) error{
		"not issued":                      func(context.CancelFunc) error { return fleet.ErrInvalid },
		"issued by a hub that was killed": func(kill context.CancelFunc) error { kill(); return nil },
	} {
		ctx, kill := context.WithCancel(t.Context())
		_, _, err := b.RedeemToken(ctx, "token", fleet.DigestOf([]byte("token")), fleet.DigestOf([]byte(name)), "uid of "+name,
			func(string) (fleet.Certificate, error) { return certificate("lost"), issue(kill) })
		kill()
		if err == nil {
			t.Errorf("%s: redeemed", name)
		}
		if statuses, err := b.ClusterStatuses(t.Context()); err != nil || statuses["prod-1"].Enrolled {
			t.Errorf("%s: clusters %+v, error %v", name, statuses, err)
		}
	}
	if err := b.redeemIn("uid", "token", "token", "key"); err != nil {
		t.Errorf("by another spoke, after that: %v", err)
	}
}

func TestRedeemedTokensCertificateIsInUseAtOnceAndEndsTheOneBefore(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	if err := b.register("prod-1", "token", time.Hour, false); err != nil {
		t.Fatal(err)
	}
	redeem := func(issued fleet.Certificate) (cluster string) {
		t.Helper()
		cluster, _, err := b.RedeemToken(t.Context(), "token", fleet.DigestOf([]byte("token")), fleet.DigestOf([]byte("key")), "",
			func(string) (fleet.Certificate, error) { return issued, nil })
		if err != nil {
			t.Fatal(err)
		}
		return cluster
	}
	first, second := certificate("first"), certificate("second")
	second.IssuedAt = first.IssuedAt.Add(-time.Minute) // by a replica whose clock is behind
	cluster := redeem(first)
	redeem(second) // as the answer was lost
	if err := b.Admit(t.Context(), cluster, first); !errors.Is(err, fleet.ErrDenied) {
		t.Errorf("the certificate before: %v, not ErrDenied", err)
	}
	if err := b.Admit(t.Context(), cluster, second); err != nil {
		t.Error(err)
	}
}
