package inventory_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/inventory"
)

func ref(kind, name string) fleet.ObjectRef {
	r := fleet.ObjectRef{Version: "v1", Kind: kind, Namespace: "n", Name: name}
	if kind == "CustomResourceDefinition" {
		r.Group = "apiextensions.k8s.io"
	}
	return r
}

// fresh are entries of objects that the pass, or a failed one before it, has brought.
func fresh(refs ...fleet.ObjectRef) []inventory.Entry {
	all := entries(refs...)
	for i := range all {
		all[i].Fresh = true
	}
	return all
}

func entries(refs ...fleet.ObjectRef) (all []inventory.Entry) {
	for _, r := range refs {
		all = append(all, inventory.Entry{Ref: r, UID: "u"})
	}
	return all
}

func some(n int, format string) (all []fleet.ObjectRef) {
	for i := range n {
		all = append(all, ref("ConfigMap", fmt.Sprintf(format, i)))
	}
	return all
}

func TestGuard(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change inventory.Change
		guard  string
		want   string
	}{
		{name: "nothing goes", change: inventory.Change{Desired: 0, Total: 0}},
		{name: "five may go", change: inventory.Change{Going: entries(some(5, "c%d")...), Desired: 1, Total: 6}},
		{name: "six of seven may not", change: inventory.Change{Going: entries(some(6, "c%d")...), Desired: 1, Total: 7}, want: "6 of 7"},
		{name: "a fifth may go", change: inventory.Change{Going: entries(some(10, "c%d")...), Desired: 40, Total: 50}},
		{name: "more than a fifth may not", change: inventory.Change{Going: entries(some(11, "c%d")...), Desired: 39, Total: 50}, want: "11 of 50"},
		{name: "none would be left", change: inventory.Change{Going: entries(some(1, "c%d")...), Desired: 0, Total: 1}, want: "no object would be left"},
		{name: "a Namespace", change: inventory.Change{Going: entries(ref("Namespace", "n")), Desired: 9, Total: 10}, want: "Namespace/"},
		{name: "a definition", change: inventory.Change{Going: entries(ref("CustomResourceDefinition", "c")), Desired: 9, Total: 10}, want: "CustomResourceDefinition/"},
		{name: "a volume", change: inventory.Change{Going: entries(ref("PersistentVolume", "v")), Desired: 9, Total: 10}, want: "PersistentVolume/"},
		{name: "a claim", change: inventory.Change{Going: entries(ref("PersistentVolumeClaim", "v")), Desired: 9, Total: 10}, want: "PersistentVolumeClaim/"},
		{name: "a protected one", change: inventory.Change{Going: []inventory.Entry{{Ref: ref("ConfigMap", "c"), Protected: true}}, Desired: 9, Total: 10}, want: "protected"},
		{name: "a protected one with the guard off", guard: "off", change: inventory.Change{Going: []inventory.Entry{{Ref: ref("ConfigMap", "c"), Protected: true}}, Desired: 9, Total: 10}, want: "protected"},
		{name: "everything with the guard off", guard: "off", change: inventory.Change{Going: entries(some(50, "c%d")...), Total: 50}},
		{name: "a Namespace under N%", guard: "100%", change: inventory.Change{Going: entries(ref("Namespace", "n")), Desired: 9, Total: 10}, want: "Namespace/"},
		{name: "N", guard: "0", change: inventory.Change{Going: entries(some(1, "c%d")...), Desired: 9, Total: 10}, want: "1 of 10"},
		{
			name:   "new content hashes",
			change: inventory.Change{Going: entries(some(8, "c%d-2456789bcd")...), Created: some(8, "c%d-fghkmt2456"), Desired: 8, Total: 8},
		},
		{
			name:   "one creation pairs with one deletion",
			change: inventory.Change{Going: entries(append(some(6, "x%d"), ref("ConfigMap", "c-2456789bcd"), ref("ConfigMap", "c-2456789bcf"))...), Created: some(1, "c-fghkmt245%d"), Desired: 1, Total: 8},
			want:   "8 of 8", // 1 is not in kustomize's alphabet: c-fghkmt2450 is no hashed name
		},
		{name: "half of a commit undone", change: inventory.Change{Going: fresh(some(30, "c%d")...), Desired: 10, Total: 10}},
		{name: "half of a commit undone, and more", change: inventory.Change{Going: append(fresh(some(30, "c%d")...), entries(some(6, "d%d")...)...), Desired: 4, Total: 10}, want: "6 of 10"},
		{name: "half of a first commit undone", change: inventory.Change{Going: fresh(some(3, "c%d")...), Desired: 0, Total: 0}, want: "no object would be left"},
		{name: "a fresh Namespace", change: inventory.Change{Going: fresh(ref("Namespace", "n")), Desired: 9, Total: 10}, want: "Namespace/"},
		{
			name:   "creations under other names do not pair",
			change: inventory.Change{Going: entries(some(6, "a%d")...), Created: some(6, "b%d"), Desired: 6, Total: 6}, want: "6 of 6",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := inventory.Guard(test.change, fleet.ParsePruneGuard(test.guard))
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("the guard says %q, not %q", got, test.want)
			}
		})
	}
}

// The guard never lets more go unasked than it allows, whatever was created meanwhile, and never holds what fits.
func TestGuardProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(1, 60).Draw(t, "total")
		going := rapid.IntRange(0, total).Draw(t, "going")
		hashed := rapid.IntRange(0, going).Draw(t, "hashed")
		paired := rapid.IntRange(0, hashed).Draw(t, "paired")
		undone := rapid.IntRange(0, 60).Draw(t, "undone")
		created := append(some(paired, "h%d-bcdfghkmt2"), some(rapid.IntRange(0, 60).Draw(t, "others"), "other%d")...)
		change := inventory.Change{
			Going:   append(entries(append(some(hashed, "h%d-2456789bcd"), some(going-hashed, "plain%d")...)...), fresh(some(undone, "undone%d")...)...),
			Created: created, Desired: total - going + len(created), Total: total,
		}
		lost := going - paired
		want := going+undone > 0 && change.Desired == 0 || lost > 5 && lost*5 > total
		if got := inventory.Guard(change, fleet.DefaultPruneGuard) != ""; got != want {
			t.Fatalf("held is %t, not %t: %d lost of %d", got, want, lost, total)
		}
	})
}
