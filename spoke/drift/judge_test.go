package drift

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	state := State{UID: UIDOf("u"), Clean: 10, Hash: 7, Generation: 2, Time: 1}
	facts := Facts{UID: "u", ResourceVersion: 12, Generation: 2, Ours: true, Hash: 7, Time: 1}
	with := func(change func(*Facts)) Facts {
		f := facts
		change(&f)
		return f
	}
	for _, test := range []struct {
		name    string
		state   State
		facts   Facts
		trusted bool
		gap     bool
		want    Verdict
	}{
		{name: "our own write", state: state, facts: with(func(f *Facts) { f.ResourceVersion = 10 }), want: Old},
		{name: "older than our write", state: state, facts: with(func(f *Facts) { f.ResourceVersion = 9; f.Hash = 1 }), want: Old},
		{name: "status noise of a trusted kind", state: state, facts: facts, trusted: true, want: Clean},
		{name: "a write to a kind without generation", state: state, facts: facts, want: Doubtful},
		{name: "generation moved", state: state, facts: with(func(f *Facts) { f.Generation = 3 }), trusted: true, want: Doubtful},
		{name: "our entry's fields differ", state: state, facts: with(func(f *Facts) { f.Hash = 8 }), trusted: true, want: Drifted},
		{name: "our entry is gone", state: state, facts: with(func(f *Facts) { f.Ours = false }), trusted: true, want: Drifted},
		{name: "another uid", state: state, facts: with(func(f *Facts) { f.UID = "v" }), trusted: true, want: Drifted},
		{name: "kubectl has fields", state: state, facts: with(func(f *Facts) { f.Disowned = true }), trusted: true, want: Drifted},
		{name: "being deleted", state: state, facts: with(func(f *Facts) { f.Deleting = true; f.Hash = 1 }), trusted: true, want: Ending},
		{name: "not to be touched", state: state, facts: with(func(f *Facts) { f.Left = true; f.Hash = 1 }), want: Leave},
		{name: "to be touched again", state: State{UID: UIDOf("u"), Clean: 10, Hash: 7, Generation: 2, Left: true}, facts: facts, trusted: true, want: Doubtful},
		{name: "after a gap, not moved", state: state, facts: with(func(f *Facts) { f.ResourceVersion = 10 }), gap: true, want: Clean},
		{
			name: "after a gap, not moved but doubted", state: State{UID: UIDOf("u"), Clean: 10, Hash: 7, Generation: 2, Doubted: true},
			facts: with(func(f *Facts) { f.ResourceVersion = 10 }), trusted: true, gap: true, want: Doubtful,
		},
		{name: "after a gap, moved and looking the same", state: state, facts: facts, trusted: true, gap: true, want: Doubtful},
		{name: "after a gap, moved back", state: state, facts: with(func(f *Facts) { f.ResourceVersion = 9 }), trusted: true, gap: true, want: Doubtful},
		{name: "after a gap, the same version of another object", state: state, facts: with(func(f *Facts) { f.ResourceVersion = 10; f.UID = "v" }), gap: true, want: Drifted},
		{name: "nothing known", state: State{}, facts: facts, trusted: true, gap: true, want: Doubtful},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Judge(test.state, 10, test.facts, test.trusted, test.gap); got != test.want {
				t.Errorf("verdict %d, not %d", got, test.want)
			}
		})
	}
}

// Nothing that is news and differs in a way that metadata shows is ever taken for clean.
func TestJudgeNeverCallsVisibleDriftClean(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := State{UID: UIDOf("u"), Clean: 10, Hash: 7, Generation: 2}
		f := Facts{
			UID:             metav1.ObjectMeta{UID: "u"}.UID,
			ResourceVersion: rapid.Uint64Range(11, 20).Draw(t, "version"),
			Generation:      rapid.Int64Range(2, 3).Draw(t, "generation"),
			Ours:            rapid.Bool().Draw(t, "ours"),
			Hash:            rapid.Uint64Range(7, 8).Draw(t, "hash"),
			Disowned:        rapid.Bool().Draw(t, "disowned"),
		}
		trusted, gap := rapid.Bool().Draw(t, "trusted"), rapid.Bool().Draw(t, "gap")
		differs := f.Generation != 2 || !f.Ours || f.Hash != 7 || f.Disowned || !trusted || gap
		verdict := Judge(s, 10, f, trusted, gap)
		if (verdict == Clean) == differs {
			t.Fatalf("%+v is %d", f, verdict)
		}
	})
}

func TestTrusted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		group, kind string
		custom      bool
		want        bool
	}{
		{group: "", kind: "ConfigMap"}, {group: "", kind: "Service"}, {group: "autoscaling", kind: "HorizontalPodAutoscaler"},
		{group: "rbac.authorization.k8s.io", kind: "Role"}, {group: "storage.k8s.io", kind: "StorageClass"},
		{group: "scheduling.k8s.io", kind: "PriorityClass"}, {group: "aggregated.example.com", kind: "Thing"},
		{group: "apps", kind: "Deployment", want: true}, {group: "batch", kind: "Job", want: true},
		{group: "networking.k8s.io", kind: "Ingress", want: true}, {group: "networking.k8s.io", kind: "ServiceCIDR"},
		{group: "example.com", kind: "Widget", custom: true, want: true},
	} {
		if got := Trusted(fleet.ObjectRef{Group: test.group, Kind: test.kind}, test.custom); got != test.want {
			t.Errorf("%s/%s: %t", test.group, test.kind, got)
		}
	}
}

func TestHashCoversOwnedFieldsAndTheValuesOfOwnedLabels(t *testing.T) {
	t.Parallel()
	entry := &metav1.ManagedFieldsEntry{
		APIVersion: "v1", FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:a":{}},"f:metadata":{"f:labels":{"f:l":{}},"f:annotations":{"f:n":{}}}}`),
	}
	meta := func(label, annotation, other string) *metav1.PartialObjectMetadata {
		m := &metav1.PartialObjectMetadata{}
		m.Labels = map[string]string{"l": label, "other": other}
		m.Annotations = map[string]string{"n": annotation}
		return m
	}
	is := hash(entry, meta("1", "1", "1"))
	if hash(entry, meta("1", "1", "2")) != is {
		t.Error("a label that is not ours counts")
	}
	if hash(entry, meta("2", "1", "1")) == is || hash(entry, meta("1", "2", "1")) == is {
		t.Error("the value of an owned label or annotation does not count")
	}
	fewer := &metav1.ManagedFieldsEntry{APIVersion: "v1", FieldsV1: metav1.NewFieldsV1(`{"f:data":{}}`)}
	if hash(fewer, meta("1", "1", "1")) == is {
		t.Error("the fields do not count")
	}
}
