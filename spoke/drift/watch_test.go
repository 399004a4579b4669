package drift

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"flotilla.dev/flotilla/pkg/fleet"
)

// TestAListOlderThanWhatWasSeenIsOfAnotherPast has an API server whose first list is at version 100 and whose second,
// as after etcd was restored, at another one; the object stands in both as it was applied.
func TestAListOlderThanWhatWasSeenIsOfAnotherPast(t *testing.T) {
	t.Parallel()
	for version, want := range map[int]Verdict{50: Doubtful, 101: Missing} {
		lists := atomic.Int64{}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if r.URL.Query().Get("watch") != "" {
				if lists.Load() > 1 {
					<-r.Context().Done()
				}
				_, _ = fmt.Fprint(w, `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","code":410,"reason":"Expired"}}`)
				return
			}
			listed, items := 100, `{"metadata":{"name":"it","namespace":"n","uid":"u","resourceVersion":"10"}}`
			if lists.Add(1) > 1 {
				listed = version
				if want == Missing {
					items = ""
				}
			}
			_, _ = fmt.Fprintf(w, `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"%d"},"items":[%s]}`, listed, items)
		}))
		client, err := metadata.NewForConfig(&rest.Config{Host: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		found := make(chan Finding, 10)
		tracker := NewTracker(Config{
			Client: client,
			Map: func(context.Context, fleet.ObjectRef) (Kind, error) {
				return Kind{Resource: schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, Trusted: true}, nil
			},
			Facts: func(meta *metav1.PartialObjectMetadata) Facts {
				f := FactsOf(meta, nil)
				f.Ours = true
				return f
			},
			Correct: func(_ context.Context, f Finding) (Correction, error) {
				found <- f
				return Correction{Outcome: Postponed}, nil
			},
		})
		end, err := tracker.Begin(t.Context(), it)
		if err != nil {
			t.Fatal(err)
		}
		end(seenAt(10), false)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- tracker.Run(ctx) }()
		select {
		case f := <-found:
			if f.Verdict != want || f.Known.Known() == (want == Doubtful) {
				t.Errorf("after a list at %d: verdict %d, known %t", version, f.Verdict, f.Known.Known())
			}
		case <-time.After(time.Minute):
			t.Errorf("after a list at %d nothing is found", version)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		server.CloseClientConnections()
		server.Close()
	}
}

func TestAKindThatCannotBeWatchedIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.applied(t, 10)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := strings.Count(r.log.String(), "no cluster"); n != 1 {
			t.Errorf("it is logged %d times", n)
		}
	})
}
