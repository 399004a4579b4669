package rollout_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/test/lab"
)

// A quarter of the time that schedules take is the collector's otherwise.
func TestMain(m *testing.M) {
	debug.SetGCPercent(1000)
	lab.Main(m)
}

// database is the rows of many worlds, one after the other, on Postgres, and two replicas of the hub that write them. What
// they do is cut off at times.
type database struct {
	t        *testing.T
	direct   *pgxpool.Pool
	replicas [2]*store.Store
	worlds   int
	// cuts are the connections that were cut off.
	cuts atomic.Int64
}

// unsealed keeps no secrets.
type unsealed struct{}

func (unsealed) Seal(plaintext, _ []byte) []byte       { return plaintext }
func (unsealed) Open(sealed, _ []byte) ([]byte, error) { return sealed, nil }
func (unsealed) MAC(data []byte) fleet.Digest          { return fleet.DigestOf(data) }

func newDatabase(t *testing.T) *database {
	t.Helper()
	url := lab.TestDatabase(t)
	d := &database{t: t}
	for i := range d.replicas {
		s, err := store.Open(t.Context(), store.Config{URL: url, Sealer: unsealed{}, KeyFingerprint: fleet.DigestOf([]byte("key")), Log: slog.New(slog.DiscardHandler), MaxConnections: 4})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		d.replicas[i] = s
	}
	var err error
	if d.direct, err = pgxpool.New(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.direct.Close)
	return d
}

// onPostgres is the part of the database that one world has: an App of its own, and clusters with a label of their own.
type onPostgres struct {
	*database
	key      fleet.Key
	name     string
	sessions map[string]fleet.Session
	sent     map[string]uint64
	written  map[string]rollout.Cluster
	freeze   string
	suspend  bool
	release  fleet.Digest
	revision int
	after    *made
	chaos    *rand.Rand
	broken   []string
}

func (d *database) world(policy fleet.RolloutPolicy, seed uint64) (*world, *onPostgres) {
	d.worlds++
	name := fmt.Sprintf("w%d", d.worlds)
	p := &onPostgres{database: d, name: name, key: fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: name}, sessions: map[string]fleet.Session{},
		sent: map[string]uint64{}, written: map[string]rollout.Cluster{}, chaos: rand.New(rand.NewPCG(seed, 1))}
	spec, err := json.Marshal(policy)
	if err != nil {
		d.t.Fatal(err)
	}
	p.apply(`{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"RolloutPolicy","metadata":{"name":%q},"spec":%s}`, name, spec)
	p.apply(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":%q,"namespace":"apps"},"spec":{"interval":"1m","url":"http://git.example.com/app"}}`, name)
	p.suspended(false)
	p.apply(`{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Placement","metadata":{"name":%[1]q,"namespace":"apps"},"spec":{"apps":[{"kind":"Kustomization","name":%[1]q}],
		"clusters":{"selector":{"matchLabels":{"world":%[1]q}}},"rolloutPolicyRef":{"name":%[1]q}}}`, name)
	w := newWorld(0, policy)
	w.state.Key, w.hub = p.key, p
	return w, p
}

func (p *onPostgres) apply(format string, args ...any) {
	p.t.Helper()
	object, err := resource.Decode(fmt.Appendf(nil, format, args...))
	if err == nil {
		_, _, _, err = p.replicas[0].ApplyObject(p.t.Context(), store.System, object, fleet.Order{})
	}
	if err != nil {
		p.t.Fatalf("%v: "+format, append([]any{err}, args...)...)
	}
}

func (p *onPostgres) suspended(yes bool) {
	p.apply(`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":%[1]q,"namespace":"apps"},
		"spec":{"interval":"10m","prune":true,"suspend":%[2]v,"sourceRef":{"kind":"GitRepository","name":%[1]q}}}`, p.name, yes)
}

// join declares a cluster, and connects its spoke.
func (p *onPostgres) join(name string) string {
	p.declare(rollout.Cluster{Name: name})
	var id string
	if err := p.direct.QueryRow(p.t.Context(), `SELECT id::text FROM cluster WHERE name = $1`, p.name+"-"+name).Scan(&id); err != nil {
		p.t.Fatal(err)
	}
	session, err := p.replicas[0].OpenSession(p.t.Context(), id, fleet.StateID{}, fleet.ClusterFacts{})
	if err != nil {
		p.t.Fatal(err)
	}
	p.sessions[id] = session
	return id
}

// declare declares a cluster as it is.
func (p *onPostgres) declare(c rollout.Cluster) {
	labels := map[string]string{"world": p.name}
	for k, v := range c.Labels {
		labels[k] = v
	}
	annotations := map[string]string{}
	if c.Held != "" {
		annotations[fleet.HoldAnnotation] = c.Held
	}
	data, err := json.Marshal(map[string]any{"apiVersion": "fleet.flotilla.dev/v1alpha1", "kind": "Cluster",
		"metadata": map[string]any{"name": p.name + "-" + c.Name, "labels": labels, "annotations": annotations}, "spec": c.Spec})
	if err != nil {
		p.t.Fatal(err)
	}
	p.apply("%s", data)
}

// report stores what a spoke says.
func (p *onPostgres) report(cluster string, r *rollout.Report) {
	said := fleet.Report{App: p.key, Epoch: 1, Stage: fleet.StageRemoved, Waiting: fleet.WaitingNone, ObservedAt: time.Now(),
		Ready: fleet.Condition{Status: fleet.True}, Healthy: fleet.Condition{Status: fleet.Unknown}}
	if r == nil {
		if err := p.direct.QueryRow(p.t.Context(), `SELECT generation FROM assignment WHERE cluster = $1 AND app = $2`, cluster, p.key.String()).Scan(&said.Generation); err != nil {
			p.t.Fatal(err)
		}
	} else {
		said.Generation, said.Release, said.Applied, said.Stage = r.Generation, r.Release, r.Release, r.Stage
		said.Converged, said.Available, said.Terminal = r.Converged, r.Available, r.Terminal
		if said.Ready.Message = r.Message; !r.Converged {
			said.Ready.Status = fleet.False
		}
		if r.Waiting != "" {
			said.Waiting = r.Waiting
		}
		if r.Failed {
			said.Healthy = fleet.Condition{Status: fleet.False, Message: r.Message}
		}
	}
	p.sent[cluster]++
	batch := fleet.ReportBatch{Session: p.sessions[cluster].Number, Sequence: p.sent[cluster], Reports: []fleet.Report{said}}
	p.again(func() error { return p.replicas[0].StoreReports(p.t.Context(), cluster, batch) })
}

// again does what was cut off.
func (p *onPostgres) again(do func() error) {
	p.t.Helper()
	var err error
	for range 10 {
		if err = do(); err == nil {
			return
		}
	}
	p.t.Fatal(err)
}

// unplaced leaves out the label by which the clusters of a world are told apart.
var unplaced = cmpopts.IgnoreMapEntries(func(key, _ string) bool { return key == "world" })

// bring writes what has changed in the world since it was looked at last.
func (p *onPostgres) bring(w *world) {
	for _, c := range w.state.Clusters {
		was, known := p.written[c.ID]
		if was.Connected != c.Connected || !known {
			p.again(func() error {
				_, err := p.direct.Exec(p.t.Context(), `UPDATE cluster SET connected = $2 WHERE id = $1`, c.ID, c.Connected)
				return err
			})
		}
		if !known || was.Held != c.Held || !cmp.Equal(was.Labels, c.Labels, unplaced) || !cmp.Equal(was.Spec.Taints, c.Spec.Taints) {
			p.declare(c)
		}
		p.written[c.ID] = c
	}
	if p.freeze != w.state.Freeze {
		if p.freeze = w.state.Freeze; p.freeze != "" {
			p.again(func() error {
				_, _, err := p.replicas[0].Freeze(p.t.Context(), "user:a", nil, p.freeze, fleet.Order{})
				return err
			})
		} else {
			p.again(func() error {
				_, _, err := p.replicas[0].Unfreeze(p.t.Context(), "user:a", nil, fleet.Order{})
				return err
			})
		}
	}
	if p.suspend != w.state.App.Controls.Suspend {
		p.suspend = w.state.App.Controls.Suspend
		p.suspended(p.suspend)
	}
	if newest := w.state.App.Release; newest != nil && newest.Digest() != p.release {
		p.revision++
		p.release = newest.Digest()
		if err := p.replicas[0].Blobs().PutWhole(p.t.Context(), w.contents[newest.Manifest], nil); err != nil {
			p.t.Fatal(err)
		}
		generation := int64(0)
		if err := p.direct.QueryRow(p.t.Context(), `SELECT generation FROM object WHERE key = $1`, p.key.String()).Scan(&generation); err != nil {
			p.t.Fatal(err)
		}
		if _, err := p.replicas[0].Released(p.t.Context(), generation, fleet.Revision(fmt.Sprintf("main@sha1:%d", p.revision)), *newest); err != nil {
			p.t.Fatal(err)
		}
	}
}

// act has both replicas look at once; a Command is carried out by one of them. The steps come back in the order in which
// they were made. At times the connections to the database end in the middle of a step, and it is made again.
func (p *onPostgres) act(w *world, c rollout.Command) (steps []made, refused error) {
	p.bring(w)
	var mu sync.Mutex
	var all sync.WaitGroup
	replicas := p.replicas[:]
	if c != nil {
		replicas = replicas[p.chaos.IntN(2):][:1]
	}
	cut := p.chaos.IntN(8) == 0
	for _, replica := range replicas {
		all.Go(func() {
			for range 10 {
				var m *made
				_, err := replica.Roll(p.t.Context(), p.key, func(s rollout.State) rollout.Step {
					mu.Lock()
					ends := cut
					cut = false
					mu.Unlock()
					if ends {
						p.cut()
					}
					s = p.seen(w, s)
					step, err := rollout.Act(s, c)
					if err != nil {
						mu.Lock()
						refused = err
						mu.Unlock()
						return rollout.Step{}
					}
					m = &made{s, step}
					return step
				})
				if err == nil && m != nil {
					mu.Lock()
					steps = append(steps, *m)
					mu.Unlock()
				}
				if err == nil {
					return
				}
			}
			p.t.Errorf("a step cannot be made, however often it is tried")
		})
	}
	all.Wait()
	slices.SortFunc(steps, func(a, b made) int { return int(a.before.Generation) - int(b.before.Generation) })
	for i := range steps {
		p.compare(w, steps[i].before)
		p.after = &steps[i]
	}
	return steps, refused
}

// cut ends every connection to the database but its own.
func (p *onPostgres) cut() {
	ended, err := p.direct.Exec(context.WithoutCancel(p.t.Context()), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
		AND pid NOT IN (SELECT pid FROM pg_stat_activity WHERE state = 'idle' AND query LIKE '%LISTEN%')`)
	if err != nil {
		p.t.Error(err)
	}
	p.cuts.Add(ended.RowsAffected())
}

// seen is the State that was loaded, for this world: its clusters under the names that they have in it, at its time.
func (p *onPostgres) seen(w *world, s rollout.State) rollout.State {
	var clusters []rollout.Cluster
	var rows []rollout.Row
	for i, c := range s.Clusters {
		if c.Labels["world"] == p.name {
			c.Name = c.Name[len(p.name)+1:]
			clusters, rows = append(clusters, c), append(rows, s.Rows[i])
		}
	}
	s.Clusters, s.Rows, s.Now = clusters, rows, w.state.Now
	return s
}

// compare checks that what is loaded is what was written: nothing of a Rollout is lost on the way.
func (p *onPostgres) compare(w *world, loaded rollout.State) {
	if p.after == nil {
		return
	}
	last := world{state: p.after.before, ended: map[string]*rollout.Rollout{}}
	last.write(p.after.step)
	options := cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b time.Time) bool { return a.Truncate(time.Microsecond).Equal(b.Truncate(time.Microsecond)) }),
		cmp.AllowUnexported(fleet.Amount{}, fleet.Duration{}), cmpopts.IgnoreUnexported(fleet.Release{})}
	for _, diff := range []string{cmp.Diff(last.state.Active, loaded.Active, options), cmp.Diff(last.state.Queued, loaded.Queued, options), cmp.Diff(last.state.Track, loaded.Track, options)} {
		if diff != "" && len(p.broken) < 3 {
			p.broken = append(p.broken, "what is loaded is not what was written: "+diff)
		}
	}
}

// P7: two replicas that step the same Rollout at once on Postgres come to what some order of their steps comes to: every
// rule holds that holds of one, and nothing is lost between two steps, though connections are cut off in the middle of some.
func TestSchedulesOnPostgresKeepToTheRules(t *testing.T) {
	t.Parallel()
	for i := range max(1, *schedules*2/100/perCheck) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			rapid.Check(t, func(t *rapid.T) { scheduleOnPostgres(t, d) })
			if d.cuts.Load() == 0 {
				t.Error("no connection was cut off")
			}
		})
	}
}

// notInADatabase are deeds that a database has no quick way for.
var notInADatabase = []string{"leave", "collect garbage", "crash of the hub"}

func scheduleOnPostgres(t *rapid.T, d *database) {
	s := drawScript(t, 6, 15)
	s.ticks = min(s.ticks, 20)
	w, p := d.world(s.policy, rapid.Uint64().Draw(t, "chaos"))
	for i, labels := range s.labels {
		w.join(fmt.Sprintf("c%03d", i), labels)
	}
	if s.noise != 0 {
		w.wire.noise = rand.New(rand.NewPCG(s.noise, 1))
	}
	w.push("first", s.first)
	o := watchWith(w)
	s.deeds = slices.DeleteFunc(s.deeds, func(d deed) bool {
		return slices.ContainsFunc(notInADatabase, func(what string) bool { return len(d.what) >= len(what) && d.what[:len(what)] == what })
	})
	s.play(w, func() bool {
		if p.chaos.IntN(2) == 0 { // people are there, and checks are answered
			w.answerChecks()
			w.help()
		}
		return len(o.broken)+len(p.broken) == 0
	})
	if w.state.Freeze != "" {
		w.state.Freeze = ""
		p.bring(w)
	}
	if len(o.broken)+len(p.broken) > 0 {
		t.Fatalf("%s\n%s\n%s\n%s", o.broken, p.broken, s, w.tail(20))
	}
}
