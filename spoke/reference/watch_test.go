package reference

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

var app = fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "app"}

// unreachable watches a cluster that never answers, and counts what it wakes.
func unreachable(t *testing.T, log *slog.Logger) (r *Watch, wakes *uint64) {
	t.Helper()
	client, err := metadata.NewForConfig(&rest.Config{Host: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	wakes = new(uint64)
	return New(client, func(fleet.Key) { *wakes++ }, log), wakes
}

func refOf(i int) fleet.ObjectRef {
	return fleet.ObjectRef{Version: "v1", Kind: "ConfigMap", Namespace: "apps", Name: fmt.Sprint("c", i)}
}

func TestWatchesOfWhatAppsReferToAreBounded(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	r, _ := unreachable(t, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError - 1})))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var watching sync.WaitGroup
	var read []Reading
	for i := range maxReferences + 5 {
		read = append(read, Reading{refOf(i), "1"})
	}
	r.Set(app, read)
	r.arrange(ctx, &watching)
	if n := len(r.watched); n != maxReferences {
		t.Errorf("%d watches", n)
	}
	r.Set(app, read[:3])
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
		r, wakes := unreachable(t, slog.New(slog.DiscardHandler))
		watch := &reference{}
		r.watched[ref] = watch
		r.Set(app, []Reading{{ref, tc.read}})
		for _, now := range tc.seen {
			r.saw(ref, watch, now)
		}
		if *wakes != tc.wakes {
			t.Errorf("%s: woken %d times, want %d", name, *wakes, tc.wakes)
		}
		r.Set(app, []Reading{{ref, tc.reread}})
		if got := *wakes - tc.wakes; got != tc.more {
			t.Errorf("%s: woken %d times by reading it again, want %d", name, got, tc.more)
		}
	}
}
