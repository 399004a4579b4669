package drift

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
)

// rig is a Tracker whose watches are the test's own calls. Corrections go to a channel and are answered by answer.
type rig struct {
	*Tracker
	kind     *kind
	findings []Finding
	seen     []string // resourceVersions that were told
	answer   func(Finding) (Correction, error)
	ready    []bool // what was told with them
	changed  atomic.Int64
	log      bytes.Buffer
}

var it = fleet.ObjectRef{Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: "it"}

// newRig runs a Tracker in a synctest bubble.
func newRig(t *testing.T, memory *Memory) *rig {
	t.Helper()
	r := &rig{answer: func(Finding) (Correction, error) { return Correction{Outcome: Postponed}, nil }}
	r.Tracker = NewTracker(Config{
		Map: func(context.Context, fleet.ObjectRef) (Kind, error) { return Kind{}, errors.New("no cluster") },
		Facts: func(meta *metav1.PartialObjectMetadata) Facts {
			f := FactsOf(meta, nil)
			f.Ours, f.Hash = true, uint64(len(meta.Labels))
			_, f.Left = meta.Labels["left"]
			return f
		},
		Correct: func(_ context.Context, f Finding) (Correction, error) {
			r.mu.Lock()
			r.findings = append(r.findings, f)
			answer := r.answer
			r.mu.Unlock()
			return answer(f)
		},
		Seen: func(_ fleet.ObjectRef, live *metav1.PartialObjectMetadata, ready bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if live != nil {
				r.seen, r.ready = append(r.seen, live.ResourceVersion), append(r.ready, ready)
			}
		},
		Changed: func(fleet.ObjectRef) { r.changed.Add(1) },
		Memory:  memory,
		Log:     slog.New(slog.NewTextHandler(&r.log, nil)),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

func seenAt(version int, labels ...string) *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.Namespace, m.Name, m.UID, m.ResourceVersion = it.Namespace, it.Name, "u", strconv.Itoa(version)
	m.Labels = map[string]string{}
	for _, label := range labels {
		m.Labels[label] = ""
	}
	return m
}

// set is some objects.
type set []fleet.ObjectRef

func (s set) Len() int                     { return len(s) }
func (s set) Has(ref fleet.ObjectRef) bool { return slices.Contains(s, ref) }
func (s set) Refs() []fleet.ObjectRef      { return s }

// conflict is why the object is in a conflict, if it is.
func (r *rig) conflict() string { return r.Conflicts(set{it.ID()})[it.ID()] }

// applied has the object tracked and written at a version.
func (r *rig) applied(t *testing.T, version int) {
	t.Helper()
	end, err := r.Begin(t.Context(), it)
	if err != nil {
		t.Fatal(err)
	}
	end(seenAt(version), false)
	r.mu.Lock()
	r.kind = r.kinds[groupKind(it)]
	r.kind.synced = true
	r.mu.Unlock()
}

// trust makes the kind one whose generation tells.
func (r *rig) trust() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kind.trusted = true
}

// take tracks the object after a restart, as one of a kind that is trusted.
func (r *rig) take() {
	r.Track(it)
	r.mu.Lock()
	r.kind = r.kinds[groupKind(it)]
	r.mu.Unlock()
	r.trust()
}

// answers has findings answered so from now on.
func (r *rig) answers(answer func(Finding) (Correction, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// found waits for what is going on and returns the verdicts so far.
func (r *rig) found() string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	text := "" // a digit each
	for _, f := range r.findings {
		text += fmt.Sprint(f.Verdict)
	}
	return text
}
