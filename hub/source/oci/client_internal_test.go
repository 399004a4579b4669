package oci

import (
	"strings"
	"testing"
	"time"
)

func TestListsOfTagsHaveRoomTogether(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tags := strings.Fields(strings.Repeat("v1 ", 40))
	c := &Client{sessions: map[string]*session{}}
	for name, age := range map[string]time.Duration{"last": 0, "before": time.Minute, "long ago": time.Hour} {
		c.sessions[name] = &session{tags: tags, tagsAsOf: at, used: at.Add(-age)}
	}
	c.forgetTags(100)
	for name, want := range map[string]bool{"last": true, "before": true, "long ago": false} {
		if _, known := c.sessions[name].listed(at); known != want {
			t.Errorf("%s: the list is known: %t, want %t", name, known, want)
		}
	}
	c.forgetTags(10)
	if _, known := c.sessions["last"].listed(at); !known {
		t.Error("the list of one alone is gone")
	}
}
