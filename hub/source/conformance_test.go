package source_test

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"flotilla.dev/flotilla/hub/source"
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
