package oci

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/source"
)

func TestListsOfTagsHaveRoomTogether(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tags := strings.Fields(strings.Repeat("v1 ", 40))
	lists := source.NewRecent[string, listing](100)
	sessions := map[string]*session{}
	for _, name := range []string{"long ago", "before", "last"} {
		sessions[name] = &session{key: name, lists: lists}
		sessions[name].setListed(tags, at)
	}
	for name, want := range map[string]bool{"last": true, "before": true, "long ago": false} {
		if _, known := sessions[name].listed(at); known != want {
			t.Errorf("%s: the list is known: %t, want %t", name, known, want)
		}
	}
}

func TestAListWithoutTagsIsForgottenToo(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	lists := source.NewRecent[string, listing](100)
	known := func(name string) bool {
		_, known := (&session{key: name, lists: lists}).listed(at)
		return known
	}
	for i := range 50 {
		(&session{key: fmt.Sprint(i), lists: lists}).setListed(nil, at)
	}
	if known("24") || !known("25") || !known("49") {
		t.Errorf("the lists are known: %t, %t, %t; want the last 25", known("24"), known("25"), known("49"))
	}
}

func TestWhatIsKnownOfTagsIsAsOldAsItWasAskedFor(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := &session{key: "a", lists: source.NewRecent[string, listing](100), heads: source.NewRecent[string, head](100)}
	s.setListed([]string{"v1"}, at)
	s.setHead("v1", "sha256:1", at)
	for name, tc := range map[string]struct {
		asOf time.Time
		want bool
	}{"then": {at, true}, "before": {at.Add(-time.Second), true}, "since": {at.Add(time.Second), false}, "now": {time.Time{}, false}} {
		if _, known := s.listed(tc.asOf); known != tc.want {
			t.Errorf("the list, as of %s: known %t", name, known)
		}
		if _, known := s.head("v1", tc.asOf); known != tc.want {
			t.Errorf("the tag, as of %s: known %t", name, known)
		}
	}
}
