package store_test

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/test/lab"
)

var histories = flag.Int("histories", 6, "random histories that garbage collection is tested with, in each store of blobs")

// Nothing that a Source, an App's last releases, an Assignment or an upload under way reaches is ever collected, and what
// nothing reaches is collected at last: over random histories of sources that move, Apps that are released, rolled out and
// deleted, uploads that are named late or never, and a clock that goes on.
func TestNothingReachableIsCollectedAndAllElseIs(t *testing.T) {
	t.Parallel()
	for name, objects := range map[string]bool{"rows": false, "objects": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := lab.TestDatabaseFrom(t, "schema", store.Migrate)
			config := store.Config{URL: url, Sealer: plain{}, KeyFingerprint: fleet.DigestOf([]byte("key")), Log: slog.New(slog.DiscardHandler), MaxConnections: 4}
			var s3 *lab.S3
			if objects {
				s3 = lab.TestS3(t, lab.S3Config{})
				if err := s3.MakeBucket("blobs"); err != nil {
					t.Fatal(err)
				}
				config.Objects = &store.Objects{Bucket: "blobs", Endpoint: s3.Host(), Region: "us-east-1", Insecure: true, AccessKey: lab.AccessKey, SecretKey: lab.SecretKey}
			}
			s, err := store.Open(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			for n := range *histories {
				seed := rand.Uint64()
				if !t.Run(fmt.Sprint(n), func(t *testing.T) {
					rapid.MakeFuzz(func(rt *rapid.T) {
						w := newWorld(&bundle{Store: s, t: t, url: url}, s3, rt)
						w.live()
						w.end()
					})(t, randomBytes(seed))
					if t.Failed() {
						t.Logf("seed %d", seed)
					}
				}) {
					break // it left its rows
				}
			}
		})
	}
}

func randomBytes(seed uint64) []byte {
	out := make([]byte, 1<<20)
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	_, _ = rand.NewChaCha8(key).Read(out) // it never fails
	return out
}

// world is what has happened, beside the store: what must be there follows from it alone.
type world struct {
	*bundle
	s3   *lab.S3
	rt   *rapid.T
	conn *pgx.Conn
	// clock is how far time was moved.
	clock time.Duration
	next  int
	// used says when a blob was last put, looked for or named; parts which others a whole needs.
	used  map[fleet.Digest]time.Duration
	text  map[fleet.Digest]string
	parts map[fleet.Digest][]fleet.Digest
	// waiting are wholes that nothing names yet.
	waiting []fleet.Digest

	declared, placed bool
	tree             fleet.Digest // the Source's last good one
	// released are the App's Manifests, the newest last, each once; assigned those of the Assignment.
	released, assigned []fleet.Digest
	revision           int
	// history is what was done, for the one that reads of a failure.
	history []string
}

func newWorld(b *bundle, s3 *lab.S3, rt *rapid.T) *world {
	w := &world{
		bundle: b, s3: s3, rt: rt, conn: b.connection(),
		used: map[fleet.Digest]time.Duration{}, text: map[fleet.Digest]string{}, parts: map[fleet.Digest][]fleet.Digest{},
	}
	return w
}

func (w *world) live() {
	steps := map[string]func(){
		"put": w.stepPut, "upload a whole": w.stepWhole, "fetch": w.stepFetch, "release": w.stepRelease, "roll out": w.stepRoll, "build": w.stepBuild,
		"declare": w.stepDeclare, "place": w.stepPlace, "unplace": w.stepUnplace, "delete the App": w.stepDelete, "clock": w.stepClock, "retain": w.stepRetain,
		"retain while a whole is named": w.stepRace, "sweep objects": w.stepSweep, "put again": w.stepAgain,
		"many releases": w.stepReleases, "many roll-outs": w.stepRolls, "lose the upstream's Tree": w.stepForget,
	}
	names := slices.Sorted(maps.Keys(steps))
	for _, first := range []string{"declare", "fetch", "release", "place", "roll out"} {
		w.do(first, steps[first])
	}
	for range rapid.IntRange(20, 60).Draw(w.rt, "steps") {
		name := rapid.SampledFrom(names).Draw(w.rt, "step")
		w.do(name, steps[name])
		w.check()
	}
}

func (w *world) do(name string, step func()) {
	w.history = append(w.history, name)
	step()
}

func (w *world) fatal(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nafter %s", fmt.Sprintf(format, args...), strings.Join(w.history, ", "))
}

// check fails when something is gone that must be there.
func (w *world) check() {
	w.t.Helper()
	must := map[fleet.Digest]string{}
	keep := func(why string, digests ...fleet.Digest) {
		for _, digest := range digests {
			if digest.IsZero() {
				continue
			}
			must[digest] = why
			for _, part := range w.parts[digest] {
				must[part] = "a part of " + why
			}
		}
	}
	if w.declared {
		keep("the Source's Tree", w.tree)
		keep("one of the App's last releases", w.released[max(0, len(w.released)-5):]...)
	}
	keep("an Assignment's Manifest", w.assigned[max(0, len(w.assigned)-4):]...)
	for digest, used := range w.used {
		if w.clock-used < 24*time.Hour {
			keep("what was used within a day", digest)
		}
	}
	digests := slices.Collect(maps.Keys(must))
	if _, err := w.Blobs().GetAll(w.t.Context(), digests); errors.Is(err, fleet.ErrNotFound) {
		for digest, why := range must {
			if _, err := w.Blobs().Get(w.t.Context(), digest); err != nil {
				w.fatal("%q is gone, which is %s: %v", w.text[digest], why, err)
			}
		}
	} else if err != nil {
		w.fatal("%v", err)
	}
}

// content makes a blob that is in the store.
func (w *world) content(what string) fleet.Digest {
	w.next++
	text := fmt.Sprintf("%s %d of %p", what, w.next, w)
	digest := fleet.DigestOf([]byte(text))
	w.text[digest] = text
	w.store(digest)
	return digest
}

func (w *world) store(digest fleet.Digest) {
	if err := w.Blobs().Put(w.t.Context(), map[fleet.Digest][]byte{digest: []byte(w.text[digest])}); err != nil {
		w.fatal("put: %v", err)
	}
	w.used[digest] = w.clock
}

// whole makes one of new parts and of some that are there.
func (w *world) whole(what string) fleet.Digest {
	var parts []fleet.Digest
	for range rapid.IntRange(0, 3).Draw(w.rt, "parts") {
		parts = append(parts, w.content("part"))
	}
	if known := slices.Sorted(maps.Values(w.text)); len(known) > 0 && rapid.Bool().Draw(w.rt, "shared") {
		shared := fleet.DigestOf([]byte(rapid.SampledFrom(known).Draw(w.rt, "part")))
		if _, whole := w.parts[shared]; !whole {
			w.store(shared)
			parts = append(parts, shared)
		}
	}
	w.next++
	text := fmt.Sprintf("%s %d of %p", what, w.next, w)
	digest := fleet.DigestOf([]byte(text))
	w.text[digest], w.parts[digest] = text, parts
	w.putWhole(digest)
	return digest
}

// putWhole stores a whole and, as whoever builds one does, its parts before.
func (w *world) putWhole(digest fleet.Digest) {
	for _, part := range w.parts[digest] {
		w.store(part)
	}
	if err := w.Blobs().PutWhole(w.t.Context(), []byte(w.text[digest]), w.parts[digest]); err != nil {
		w.fatal("put a whole: %v", err)
	}
	w.used[digest] = w.clock
}

func (w *world) stepPut()   { w.content("blob") }
func (w *world) stepSweep() { w.must(w.SweepObjectsNow(w.t.Context())) }
func (w *world) stepWhole() { w.waiting = append(w.waiting, w.whole("upload")) }

// stepAgain puts what was there before, whether it is still.
func (w *world) stepAgain() {
	texts := slices.Sorted(maps.Values(w.text))
	digest := fleet.DigestOf([]byte(rapid.SampledFrom(texts).Draw(w.rt, "again")))
	if _, whole := w.parts[digest]; whole {
		w.putWhole(digest)
		return
	}
	w.store(digest)
}

func (w *world) stepClock() {
	hours := rapid.SampledFrom([]int{1, 5, 12, 20, 25, 50, 24 * 8, 24 * 31}).Draw(w.rt, "hours")
	w.move(time.Duration(hours) * time.Hour)
}

// move lets time pass, by making all that is stored so much older.
func (w *world) move(d time.Duration) {
	w.clock += d
	const older = `DO $$ DECLARE c record; BEGIN
		FOR c IN SELECT table_name, string_agg(format('%%1$I = %%1$I - interval ''%[1]d seconds''', column_name), ', ') AS sets FROM information_schema.columns
			WHERE table_schema = 'public' AND data_type = 'timestamp with time zone' AND table_name NOT IN ('audit', 'schema_version') GROUP BY table_name
		LOOP EXECUTE format('UPDATE %%I SET %%s', c.table_name, c.sets); END LOOP; END $$`
	_, err := w.conn.Exec(w.t.Context(), fmt.Sprintf(older, int(d/time.Second)))
	w.must(err)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.fatal("%v", err)
	}
}

func (w *world) stepRetain() { w.must(w.RetainNow(w.t.Context())) }

func (w *world) stepDeclare() {
	if w.declared {
		return
	}
	w.apply(gitYAML)
	w.apply(ksYAML)
	w.declared, w.tree, w.released = true, fleet.Digest{}, nil
	w.bind(upstreamID)
}

// named is a whole for somebody to name: a new one, or one that waits. Of that it is not known whether it is still there
// once it is a day old.
func (w *world) named(what string) (digest fleet.Digest, sure bool) {
	if len(w.waiting) > 0 && rapid.Bool().Draw(w.rt, "of the waiting") {
		i := rapid.IntRange(0, len(w.waiting)-1).Draw(w.rt, "which")
		digest = w.waiting[i]
		w.waiting = slices.Delete(w.waiting, i, i+1)
		return digest, w.clock-w.used[digest] < 24*time.Hour
	}
	return w.whole(what), true
}

func (w *world) stepFetch() {
	if !w.declared {
		return
	}
	digest, sure := w.named("tree")
	w.settle(w.look(digest), sure, func() { w.tree = digest })
}

// look saves that the upstream has a Tree.
func (w *world) look(digest fleet.Digest) error {
	w.bind(upstreamID) // as the loop does at each look at what is declared: an upstream may have gone while nobody meant it
	w.must(w.MakeDue(w.t.Context(), upstreamID))
	var claimed []fleet.UpstreamState
	lab.Eventually(w.t, time.Minute, "a look, after "+strings.Join(w.history, ", "), func() error {
		if claimed = w.claim(); len(claimed) != 1 { // a claim passes over what the sweep has locked
			return fmt.Errorf("claimed %d upstreams", len(claimed))
		}
		return nil
	})
	w.revision++
	look := fleet.Looked{Revision: fleet.Revision(fmt.Sprintf("main@sha1:%d", w.revision)), Tree: digest, TreeBlob: digest}
	return w.SaveLook(w.t.Context(), claimed[0].ID, look, time.Hour)
}

// settle notes what succeeded; naming what may be gone may fail, and then nothing is named.
func (w *world) settle(err error, sure bool, note func()) {
	w.t.Helper()
	switch {
	case err == nil:
		note()
	case sure || !errors.Is(err, fleet.ErrConflict):
		w.fatal("naming what is there: %v", err)
	}
}

func (w *world) stepRelease() {
	if !w.declared || w.tree.IsZero() {
		return
	}
	digest, sure := w.named("manifest")
	o, err := w.Object(w.t.Context(), "Kustomization", "apps", "app")
	w.must(err)
	release := fleet.Release{App: appKey, Manifest: digest, Prune: true}
	_, err = w.Released(w.t.Context(), o.Metadata.Generation, w.source().Revision, release)
	w.settle(err, sure, func() {
		w.released = append(slices.DeleteFunc(w.released, func(d fleet.Digest) bool { return d == digest }), digest)
	})
}

// stepReleases makes several Releases of which none is rolled out, and then commits that touch the App no more: what was
// before them is kept as one of the last few, or as what a cluster has, or not at all.
func (w *world) stepReleases() {
	for range rapid.IntRange(2, 7).Draw(w.rt, "releases") {
		w.stepRelease()
	}
	const commits = `INSERT INTO app_revision (app, revision, release) SELECT key, 'later-' || n || '-' || $1, release FROM app, generate_series(1, 60) n WHERE release IS NOT NULL`
	_, err := w.conn.Exec(w.t.Context(), commits, fmt.Sprint(len(w.history)))
	w.must(err)
}

func (w *world) stepRolls() {
	for range rapid.IntRange(2, 5).Draw(w.rt, "roll-outs") {
		w.stepRelease()
		w.stepRoll()
	}
}

// stepForget is what a Tree that cannot be read leads to: the Source stays at it.
func (w *world) stepForget() {
	if w.declared && !w.tree.IsZero() {
		w.must(w.ForgetTree(w.t.Context(), w.tree))
	}
}

func (w *world) stepBuild() {
	digest, sure := w.named("manifest")
	err := w.SaveBuild(w.t.Context(), fleet.DigestOf([]byte(w.text[digest]+" key")), digest, fleet.BuildInputs{})
	w.settle(err, sure, func() {})
}

func (w *world) stepPlace() {
	if !w.declared || w.placed {
		return
	}
	w.apply(clusterYAML("prod-1", "prod"))
	w.apply(placementYAML(everywhere))
	w.placed = true
}

func (w *world) stepRoll() {
	w.bundle.roll()
	if instance, is := w.instances()["prod-1"]; is && instance.Assignment.State == fleet.Active {
		if now := instance.Assignment.Release.Manifest; len(w.assigned) == 0 || w.assigned[len(w.assigned)-1] != now {
			w.assigned = append(w.assigned, now)
		}
	}
}

// stepUnplace ends the cluster, and with it what was assigned to it.
func (w *world) stepUnplace() {
	if !w.placed {
		return
	}
	concerned := uint32(len(w.instances()))
	for _, deletion := range []resource.Deletion{
		{Kind: "Placement", Namespace: "apps", Name: "app", Order: fleet.Order{Confirm: &concerned}}, {Kind: "Cluster", Name: "prod-1", Now: true},
	} {
		_, err := w.DeleteObject(w.t.Context(), admin, deletion)
		w.must(err)
	}
	w.bundle.roll()
	w.placed, w.assigned = false, nil
}

func (w *world) stepDelete() {
	if !w.declared {
		return
	}
	w.stepUnplace()
	for _, kind := range []string{"Kustomization", "GitRepository"} {
		_, err := w.DeleteObject(w.t.Context(), admin, resource.Deletion{Kind: kind, Namespace: "apps", Name: "app"})
		w.must(err)
	}
	w.declared, w.tree, w.released = false, fleet.Digest{}, nil
}

// stepRace has what is stale used again and named, while the sweep is at it.
func (w *world) stepRace() {
	if !w.declared {
		return
	}
	digest, _ := w.named("tree")
	w.move(25 * time.Hour)
	var group errgroup.Group
	group.Go(func() error { return w.RetainNow(w.t.Context()) })
	w.putWhole(digest)
	err := w.look(digest)
	w.must(group.Wait())
	w.settle(err, true, func() { w.tree = digest })
}

// end deletes all, and lets time pass: nothing is left then, in either place.
func (w *world) end() {
	w.do("delete the App", w.stepDelete)
	for range 4 {
		w.do("32 days", func() { w.move(32 * 24 * time.Hour) })
		w.stepRetain()
	}
	for _, table := range []string{"blob", "blob_chunk", "blob_part", "release", "build", "assignment_pin", "upstream"} {
		if n := w.rows(`SELECT count(*) FROM ` + table); n != 0 {
			w.fatal("%d rows of %s are left that nothing names", n, table)
		}
	}
	if w.s3 == nil {
		return
	}
	keys, err := w.s3.Keys("blobs")
	w.must(err)
	if len(keys) != 1 || keys[0] != "flotilla-store" {
		w.fatal("objects %v are left of blobs that went", keys)
	}
}
