package deploy_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/deploy"
)

// history plays releases, tombstones, approvals and drift on one App, kills the engine at any write, and holds it to
// what must be true whatever happened: see judge.
type history struct {
	*bundle
	*rand.Rand
	log []string
	// loaded is the last release that came to its end, which the spoke begins with after a restart; nil: none.
	loaded *deploy.Target
}

// attempt is a pass or a removal that the history makes.
type attempt struct {
	target    deploy.Target
	want      map[string]string // nil: a tombstone
	confirmed bool
}

func (a attempt) approved() fleet.Digest { return a.target.ApprovedPrune }

var historyNames = numbered("cm", 6)

const historyGuard = 1

// histories is how many there are; a campaign has more.
var histories = flag.Uint64("histories", 6, "how many random histories of one App to play")

func TestNoHistoryOfKillsPutsBackWhatWentOrDeletesUnasked(t *testing.T) {
	t.Parallel()
	for seed := range *histories {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			h := &history{bundle: newBundle(t), Rand: rand.New(rand.NewPCG(1, seed))}
			h.release.PruneGuard = fmt.Sprint(historyGuard)
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("history:\n%s", strings.Join(h.log, "\n"))
				}
			})
			h.restart()
			a := h.choose()
			for range 7 {
				if h.IntN(3) > 0 {
					h.killed(a)
				}
				if h.IntN(3) > 0 {
					h.whole(a)
				}
				h.drift()
				a = h.next(a)
			}
			h.whole(a)
		})
	}
}

func (h *history) note(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf(format, args...))
}

// choose makes up what is wanted next.
func (h *history) choose() attempt {
	if h.IntN(5) == 0 {
		return attempt{target: deploy.Target{App: h.app, Release: h.release}, confirmed: h.IntN(2) == 0}
	}
	want := map[string]string{}
	var objects []string
	for _, name := range historyNames {
		if h.IntN(2) == 0 {
			want[name] = fmt.Sprint(h.IntN(2))
			objects = append(objects, h.configMap(name, want[name]))
		}
	}
	return attempt{target: h.target(objects...), want: want}
}

// next is the same once more, with an approval of what is held, or something else.
func (h *history) next(a attempt) attempt {
	if held := h.status().HeldPrune; held != nil && h.IntN(2) == 0 {
		a.target.ApprovedPrune = held.Digest
		return a
	}
	if h.IntN(4) == 0 {
		return a
	}
	return h.choose()
}

// restart starts the engine anew and has it begin with what the spoke knows.
func (h *history) restart() {
	h.Helper()
	if h.IntN(4) == 0 {
		h.kill()
		if err := os.RemoveAll(h.dir); err != nil {
			h.Fatal(err)
		}
		h.note("the volume is lost")
	}
	h.start()
	if h.loaded != nil && h.IntN(4) > 0 {
		h.note("load")
		h.load(*h.loaded)
	}
}

// drift has somebody change or delete an object.
func (h *history) drift() {
	h.Helper()
	name := historyNames[h.IntN(len(historyNames))]
	if h.IntN(2) == 0 || h.get(configMaps, name) == nil {
		return
	}
	// The engine may be faster than the test: that an object is gone by now is as good.
	if h.IntN(2) == 0 {
		h.note("somebody deletes %s", name)
		_ = h.client.Resource(configMaps).Namespace(h.namespace).Delete(h.Context(), name, metav1.DeleteOptions{})
		return
	}
	h.note("somebody edits %s", name)
	_, _ = h.tryPatch(configMaps, name, "someone", `{"data":{"key":"drifted"}}`)
}

// kept is an entry of the inventory in the cluster.
type kept struct {
	Name  string `json:"name"`
	UID   string `json:"uid"`
	Going bool   `json:"going"`
	Fresh bool   `json:"fresh"`
}

func (h *history) kept() map[string]kept {
	h.Helper()
	all := map[string]kept{}
	for line := range strings.Lines(h.entries()) {
		var k kept
		if err := json.Unmarshal([]byte(line), &k); err != nil {
			h.Fatal(err)
		}
		all[k.Name] = k
	}
	return all
}

// killed makes an attempt with an engine that is cut off at one of its writes. The one that comes after it puts back
// nothing that was let go.
func (h *history) killed(a attempt) {
	h.Helper()
	n, lost := 1+h.IntN(8), h.IntN(2) == 0
	h.kill()
	h.cutAfter(n, lost)
	sent := h.tap()
	h.start()
	if h.loaded != nil && h.IntN(4) > 0 {
		_ = h.engine.Load(h.Context(), h.app, h.loaded.Manifest, h.loaded.Release, h.loaded.Binding) // it may be cut off by then
	}
	before, there := h.kept(), h.owned(configMaps)
	_, err := h.do(a)
	h.note("%s, cut off at write %d, answer lost: %t: %v", a, n, lost, err)
	h.kill()
	h.judgeDeletions(a, before, there, sent.all())

	h.wrap = nil
	sent = h.tap()
	h.restart()
	h.canary()
	h.wrap = nil
	for name, entry := range h.kept() {
		if entry.Going && slices.Contains(sent.all(), "PATCH "+name) {
			h.Fatalf("%s was let go and is put back", name)
		}
	}
}

// whole makes an attempt until it succeeds, and judges what is there then.
func (h *history) whole(a attempt) {
	h.Helper()
	sent := h.tap()
	h.restart()
	h.wrap = nil
	before, there := h.kept(), h.owned(configMaps)
	done, err := h.do(a)
	h.note("%s: %v, done: %t, held %+v", a, err, done, h.status().HeldPrune)
	if err != nil {
		h.Fatalf("%s: %v", a, err)
	}
	h.judgeDeletions(a, before, there, sent.all())
	h.judge(a, before, done)
	if a.want != nil {
		h.loaded = &a.target
	} else if done {
		h.loaded = nil
	}
}

func (h *history) do(a attempt) (done bool, err error) {
	if a.want != nil {
		return true, h.try(a.target)
	}
	return h.tryRemove(fleet.Tombstone{Delete: true, Confirmed: a.confirmed}, a.approved())
}

// judge says what must be true after an attempt that nothing cut off.
func (h *history) judge(a attempt, before map[string]kept, done bool) {
	h.Helper()
	held := map[string]bool{}
	for _, ref := range h.engine.Held(h.app) {
		held[ref.Name] = true
		if before[ref.Name].Going {
			h.Fatalf("%s was let go and is held", ref.Name)
		}
	}
	now := h.kept()
	if a.want == nil && !done {
		for name, entry := range now {
			// What was only intended and is not there waits, as the rest does, until the removal may go on.
			if entry.UID != "" && !held[name] && !entry.Going {
				h.Fatalf("%s is neither held nor let go by %s", name, a)
			}
		}
		return
	}
	for name, value := range a.want {
		h.value(configMaps, name, value, "data", "key")
	}
	for name := range now {
		if _, wanted := a.want[name]; !wanted && !held[name] {
			h.Fatalf("%s is still in the inventory", name)
		}
	}
	for object := range h.owned(configMaps) {
		name := strings.TrimPrefix(object, "ConfigMap/")
		if _, has := now[name]; !has {
			h.Fatalf("%s is there and in no inventory", name)
		}
	}
}

// judgeDeletions says that nothing was deleted that is wanted, or that nobody was asked about.
func (h *history) judgeDeletions(a attempt, before map[string]kept, there map[string]bool, sent []string) {
	h.Helper()
	var all, asked []fleet.ObjectRef
	losses := 0
	for name, entry := range before {
		_, wanted := a.want[name]
		if wanted || entry.UID == "" && !there["ConfigMap/"+name] {
			continue
		}
		ref := fleet.ObjectRef{Version: "v1", Kind: "ConfigMap", Namespace: h.namespace, Name: name}
		all = append(all, ref)
		if entry.Going {
			continue
		}
		asked = append(asked, ref)
		if !entry.Fresh {
			losses++
		}
	}
	agreed := a.confirmed || a.approved() == fleet.PruneDigest(all) || a.approved() == fleet.PruneDigest(asked) ||
		len(a.want) > 0 && losses <= historyGuard
	for _, write := range sent {
		name, isDeletion := strings.CutPrefix(write, "DELETE ")
		if !isDeletion || strings.HasPrefix(name, "canary") {
			continue
		}
		if _, wanted := a.want[name]; wanted {
			h.Fatalf("%s is wanted and was deleted", name)
		}
		if !before[name].Going && !agreed {
			h.Fatalf("nobody was asked about the deletion of %s", name)
		}
	}
}

func (a attempt) String() string {
	if a.want == nil {
		return fmt.Sprintf("a tombstone, confirmed: %t, approved %.15s", a.confirmed, a.approved())
	}
	return fmt.Sprintf("release %v, approved %.15s", a.want, a.approved())
}
