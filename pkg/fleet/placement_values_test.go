package fleet_test

import (
	"encoding/json"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestValuesOfAllOverridesThatConcernAnAppAreMergedInOrder(t *testing.T) {
	t.Parallel()
	app, other := fleet.AppRef{Kind: "HelmRelease", Name: "app"}, fleet.AppRef{Kind: "HelmRelease", Name: "other"}
	everywhere, onA := fleet.ClusterChoice{Selector: &fleet.Selector{}}, fleet.ClusterChoice{Names: []string{"a"}}
	p := fleet.Placement{Apps: []fleet.AppRef{app, other, {Kind: "Kustomization", Name: "app"}}, Clusters: everywhere, Overrides: []fleet.Override{
		{Clusters: everywhere, Values: json.RawMessage(`{"image": {"tag": "1", "pull": "Always"}, "list": [1, 2], "big": 12345678901234567890}`)},
		{Clusters: everywhere, Patches: []fleet.Patch{{Patch: "x"}}},
		{Clusters: onA, Values: json.RawMessage(`{"image": {"pull": null}, "list": [3]}`)},
		{Clusters: everywhere, Apps: []fleet.AppRef{other}, Values: json.RawMessage(`{"image": "none"}`)},
	}}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		app           fleet.AppRef
		cluster, want string
	}{
		{app, "a", `{"big":12345678901234567890,"image":{"pull":null,"tag":"1"},"list":[3]}`},
		{app, "b", `{"big":12345678901234567890,"image":{"pull":"Always","tag":"1"},"list":[1,2]}`},
		{other, "b", `{"big":12345678901234567890,"image":"none","list":[1,2]}`},
		{fleet.AppRef{Kind: "Kustomization", Name: "app"}, "a", ""},
	} {
		if got := string(p.ValuesFor(tc.app, tc.cluster, nil)); got != tc.want {
			t.Errorf("%s/%s in %s: values %s, want %s", tc.app.Kind, tc.app.Name, tc.cluster, got, tc.want)
		}
	}
	p.Overrides = p.Overrides[1:2]
	if got := p.ValuesFor(app, "a", nil); got != nil {
		t.Errorf("without values: %s", got)
	}
}

func TestValuesAreForHelmReleases(t *testing.T) {
	t.Parallel()
	ks, hr := fleet.AppRef{Kind: "Kustomization", Name: "app"}, fleet.AppRef{Kind: "HelmRelease", Name: "app"}
	everywhere := fleet.ClusterChoice{Selector: &fleet.Selector{}}
	for name, tc := range map[string]struct {
		apps     []fleet.AppRef
		override fleet.Override
		want     string
	}{
		"a HelmRelease":         {[]fleet.AppRef{ks, hr}, fleet.Override{Values: json.RawMessage(`{}`)}, ""},
		"no HelmRelease":        {[]fleet.AppRef{ks}, fleet.Override{Values: json.RawMessage(`{}`)}, "spec.overrides[0].values: are for HelmReleases, and spec.apps has none"},
		"a Kustomization named": {[]fleet.AppRef{ks, hr}, fleet.Override{Apps: []fleet.AppRef{hr, ks}, Values: json.RawMessage(`{}`)}, "spec.overrides[0].values: are for HelmReleases, and apps has Kustomization/app"},
		"a list":                {[]fleet.AppRef{hr}, fleet.Override{Values: json.RawMessage(`[1]`)}, "spec.overrides[0].values: is not a mapping"},
		"nothing":               {[]fleet.AppRef{hr}, fleet.Override{Values: json.RawMessage(`null`)}, "spec.overrides[0].values: is not a mapping"},
		"a vast number":         {[]fleet.AppRef{hr}, fleet.Override{Values: json.RawMessage(`{"a":{"b":1e131000}}`)}, "spec.overrides[0].values.a.b: the number 1e131000 has more than 40 digits"},
		"too much":              {[]fleet.AppRef{hr}, fleet.Override{Values: json.RawMessage(`{"a":"` + strings.Repeat("x", 64<<10) + `"}`)}, "the patches and values have 65544 bytes together"},
		"too much, written out": {[]fleet.AppRef{hr}, fleet.Override{Values: json.RawMessage(`{"a":[0` + strings.Repeat(",1e39", 2000) + `]}`)}, "the patches and values have 82009 bytes together"},
	} {
		tc.override.Clusters = everywhere
		err := fleet.Placement{Apps: tc.apps, Clusters: everywhere, Overrides: []fleet.Override{tc.override}}.Validate()
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

// A digest of another text would give every cluster something else to run.
func TestBindingsAndReleasesAreNamedAsTheyEverWere(t *testing.T) {
	t.Parallel()
	b := fleet.Binding{Variables: map[string]string{"A": "1"}, Patches: []fleet.Patch{{Patch: "p"}}}
	if want := fleet.DigestOf([]byte(`{"variables":{"A":"1"},"patches":[{"patch":"p"}]}`)); b.Digest() != want {
		t.Errorf("binding %s, want %s", b.Digest(), want)
	}
	if !(fleet.Binding{}).Digest().IsZero() || (fleet.Binding{Values: json.RawMessage(`{"a":1}`)}).IsZero() {
		t.Error("a Binding with values adds nothing, or one without anything does")
	}
	r := fleet.Release{App: fleet.Key{Home: "hub", Kind: "Kustomization", Namespace: "a", Name: "b"}, Prune: true}
	if strings.Contains(string(r.Encode()), "substituteValues") {
		t.Errorf("release %s", r.Encode())
	}
	if encoded := string((fleet.Assignment{State: fleet.Active}).Encode()); strings.Contains(encoded, "helm") {
		t.Errorf("assignment %s", encoded)
	}
}
