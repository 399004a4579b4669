package rollout_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

var update = flag.Bool("update", false, "write the timelines of testdata/stories as they are")

// TestStoriesGoAsTheyAreTold plays the scenarios of testdata/stories. A file has three parts, each after a line of dashes
// with its name: the policy, the scenario, and the timeline that follows from them. Lines before the first one say what
// the story is about. A scenario has a line for the clusters, with their labels (a:tier=prod,region=eu), and one for each thing
// that happens: when, and what.
func TestStoriesGoAsTheyAreTold(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/stories/*.txt")
	if err != nil || len(files) < 12 {
		t.Fatalf("there are %d stories: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			head, want, found := strings.Cut(string(text), "-- timeline --\n")
			if !found {
				t.Fatal("it has no line `-- timeline --`")
			}
			got := readStory(t, head).timeline(t)
			if *update {
				if err := os.WriteFile(file, []byte(head+"-- timeline --\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("it goes otherwise (-update writes it): %s", diff)
			}
		})
	}
}

// story is a scenario that is read.
type story struct {
	policy   fleet.RolloutPolicy
	clusters []string
	acts     []act
	end      time.Duration
}

// act is a line of a scenario.
type act struct {
	at   time.Duration
	what []string
}

func readStory(t *testing.T, head string) story {
	t.Helper()
	_, rest, _ := strings.Cut(head, "-- policy --\n")
	policy, scenario, found := strings.Cut(rest, "-- scenario --\n")
	var s story
	data, err := yaml.YAMLToJSON([]byte(policy))
	if err == nil {
		err = json.Unmarshal(data, &s.policy)
	}
	if err == nil {
		err = s.policy.Validate()
	}
	if err != nil || !found {
		t.Fatalf("policy: %v", err)
	}
	for line := range strings.Lines(scenario) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "clusters":
			s.clusters = words[1:]
		default:
			at, err := time.ParseDuration(words[0])
			if err != nil {
				t.Fatal(err)
			}
			if words[1] == "end" {
				s.end = at
			}
			s.acts = append(s.acts, act{at, words[1:]})
		}
	}
	return s
}

// timeline plays the story, and tells what happens: when, in the Rollout of which Release, to whom, and why. That clusters
// are on their way is left out.
func (s story) timeline(t *testing.T) string {
	t.Helper()
	w := newWorld(0, s.policy)
	for _, c := range s.clusters {
		name, text, _ := strings.Cut(c, ":")
		labels := map[string]string{}
		for _, label := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
			key, value, _ := strings.Cut(label, "=")
			labels[key] = value
		}
		w.join(name, labels)
	}
	o := watchWith(w)
	start := w.state.Now
	names, targets := map[fleet.Digest]string{}, map[string]fleet.Digest{}
	var b strings.Builder
	told, given := 0, 0
	tell := func() {
		for _, ro := range []*rollout.Rollout{w.state.Active, w.state.Queued} {
			if ro != nil {
				targets[ro.ID] = ro.Target
			}
		}
		for id, ro := range w.ended {
			targets[id] = ro.Target
		}
		var lines []string
		for ; told < len(w.log); told++ {
			if e := w.log[told]; e.Type != "ClusterApplying" && e.Type != "ClusterVerifying" {
				lines = append(lines, fmt.Sprintf("%s %s %s", names[targets[e.Rollout]], e.Type, described(e, names, targets)))
			}
		}
		slices.SortFunc(w.pins[given:], func(a, b pin) int { return strings.Compare(a.cluster, b.cluster) })
		for ; given < len(w.pins); given++ {
			lines = append(lines, fmt.Sprintf("-> %s gets %s", strings.TrimPrefix(w.pins[given].cluster, "id-"), names[w.pins[given].release]))
		}
		for _, line := range lines {
			fmt.Fprintf(&b, "%-8s %s\n", w.state.Now.Sub(start), strings.TrimRight(line, " "))
		}
	}
	next := 0
	for at := time.Duration(0); at <= s.end; at += 10 * time.Second {
		for ; next < len(s.acts) && s.acts[next].at <= at; next++ {
			w.carry(t, s.acts[next].what, names)
			tell()
		}
		if err := w.step(nil); err != nil {
			t.Fatal(err)
		}
		w.answerChecks()
		tell()
		w.pass(10 * time.Second)
	}
	if len(o.broken) > 0 {
		t.Errorf("%s", o.broken)
	}
	fmt.Fprintf(&b, "\nin the end:\n")
	for _, c := range w.state.Clusters {
		fmt.Fprintf(&b, "  %s runs %s\n", c.Name, names[w.row(c.ID).Release])
	}
	fmt.Fprintf(&b, "  stable is %s\n", names[w.state.Track.Stable])
	for _, v := range w.state.Track.Verdicts {
		fmt.Fprintf(&b, "  %s is %s\n", names[v.Release], v.Outcome)
	}
	if a := w.state.Active; a != nil {
		fmt.Fprintf(&b, "  the Rollout of %s is %s: %s\n", names[a.Target], a.Phase, a.Message)
	}
	return b.String()
}

// described is what an event says, with names for Releases and Rollouts.
func described(e rollout.Event, names map[fleet.Digest]string, targets map[string]fleet.Digest) string {
	parts := []string{e.Cluster, e.Wave, e.Gate, e.Reason}
	if e.Actor != "" && e.Actor != rollout.System {
		parts = append(parts, "by "+e.Actor)
	}
	if e.Message != "" {
		parts = append(parts, "| "+e.Message)
	}
	text := strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), " ")
	for digest, name := range names {
		text = strings.ReplaceAll(text, digest.String(), name)
	}
	for _, id := range slices.SortedFunc(keys(targets), func(a, b string) int { return len(b) - len(a) }) {
		text = strings.ReplaceAll(text, id, "the Rollout of "+names[targets[id]])
	}
	return text
}

func keys(m map[string]fleet.Digest) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// carry does what a line of a scenario says.
func (w *world) carry(t *testing.T, what []string, names map[fleet.Digest]string) {
	t.Helper()
	var err error
	switch what[0] {
	case "end":
	case "push":
		truth := map[string]outcome{}
		noRollback := false
		for _, word := range what[2:] {
			cluster, does, is := strings.Cut(word, "=")
			truth[cluster] = outcome(does)
			noRollback = noRollback || !is && word == "no-rollback"
		}
		names[w.push(what[1], truth)] = what[1]
		w.state.App.NoRollback = noRollback
	case "cut":
		w.cluster(what[1]).Connected = false
	case "connect":
		w.cluster(what[1]).Connected = true
	case "leave":
		w.leave(what[1])
	case "sick":
		w.spokes["id-"+what[1]].sick = true
	case "well":
		w.spokes["id-"+what[1]].sick = false
	case "restart": // the hub: in the middle of its next step
		w.crash = true
	case "approve":
		err = w.step(rollout.Decide{Principal: what[1], Gate: what[2], Approve: true})
	case "resume":
		err = w.step(rollout.Resume{Actor: what[1]})
	default:
		t.Fatalf("a scenario cannot say %q", what)
	}
	if err != nil {
		t.Fatalf("%q: %v", what, err)
	}
}
