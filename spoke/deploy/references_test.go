package deploy

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"flotilla.dev/flotilla/pkg/fleet"
)

// unreachable are references in a cluster that never answers.
func unreachable(t *testing.T, log *slog.Logger) *references {
	t.Helper()
	client, err := metadata.NewForConfig(&rest.Config{Host: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	return newReferences(client, func(a *app) { a.wakes++ }, log)
}

func refOf(i int) fleet.ObjectRef {
	return fleet.ObjectRef{Version: "v1", Kind: "ConfigMap", Namespace: "apps", Name: fmt.Sprint("c", i)}
}

func TestWatchesOfWhatAppsReferToAreBounded(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	r := unreachable(t, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError - 1})))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var watching sync.WaitGroup
	a := &app{}
	var read reads
	for i := range maxReferences + 5 {
		read = append(read, reading{refOf(i), "1"})
	}
	r.set(a, read)
	r.arrange(ctx, &watching)
	if n := len(r.watched); n != maxReferences {
		t.Errorf("%d watches", n)
	}
	r.set(a, read[:3])
	r.arrange(ctx, &watching)
	if n := len(r.watched); n != 3 {
		t.Errorf("%d watches of 3 references", n)
	}
	watching.Wait()
}

func TestAnAppIsWokenByWhatIsNewerThanItHasReadAndByNothingElse(t *testing.T) {
	t.Parallel()
	ref := refOf(1)
	for name, tc := range map[string]struct {
		read   string
		seen   []glimpse
		wakes  uint64
		reread string // after that
		more   uint64
	}{
		"what it has read":                {"5", []glimpse{{5, true}}, 0, "5", 0},
		"older":                           {"5", []glimpse{{4, true}}, 0, "5", 0},
		"newer":                           {"5", []glimpse{{6, true}}, 1, "6", 0},
		"twice the same":                  {"5", []glimpse{{6, true}, {6, true}}, 1, "6", 0},
		"read before a change it has not": {"5", []glimpse{{6, true}}, 1, "5", 1},
		"nothing, and it is not there":    {"", []glimpse{{9, false}}, 0, "", 0},
		"nothing, and it came":            {"", []glimpse{{9, false}, {10, true}}, 1, "10", 0},
		"it went":                         {"5", []glimpse{{5, true}, {7, false}}, 1, "", 0},
		"it went before":                  {"8", []glimpse{{7, false}}, 0, "8", 0},
		"nothing again, and watch behind": {"", []glimpse{{10, true}}, 1, "", 0},
	} {
		r := unreachable(t, slog.New(slog.DiscardHandler))
		watch := &reference{}
		r.watched[ref] = watch
		a := &app{}
		r.set(a, reads{{ref, tc.read}})
		for _, now := range tc.seen {
			r.saw(ref, watch, now)
		}
		if a.wakes != tc.wakes {
			t.Errorf("%s: woken %d times, want %d", name, a.wakes, tc.wakes)
		}
		r.set(a, reads{{ref, tc.reread}})
		if got := a.wakes - tc.wakes; got != tc.more {
			t.Errorf("%s: woken %d times by reading it again, want %d", name, got, tc.more)
		}
	}
}
