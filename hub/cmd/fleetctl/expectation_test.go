package main

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestRequestIsServedByItselfOrALaterOne(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		last string
		want bool
	}{
		{requestedAt, true},
		{"2026-03-01T12:00:00.000000002Z", true}, // somebody asked again meanwhile
		{"2026-03-01T14:00:00.5+01:00", true},
		{"2026-03-01T12:00:00Z", false},
		{"", false},
		{"by hand", false}, // an annotation may hold anything
	} {
		if got := handled(test.last, requestedAt); got != test.want {
			t.Errorf("%q: %v", test.last, got)
		}
	}
}

func TestRevisionIsNamedWholeOrByItsHash(t *testing.T) {
	t.Parallel()
	const have = "main@sha1:696f056df216eea4f9401adbee0ff744d4df390f"
	for text, want := range map[string]bool{
		have: true, "696f056df216eea4f9401adbee0ff744d4df390f": true, "sha1:696f056d": true, "696f056": true,
		"696f05": false, "": false, "f056df2": false, "main": false, "main@sha1:696f056d": true, "main@sha1:696f05": false, "other@sha1:696f056d": false,
	} {
		if got := atRevision(have, text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if atRevision("", "") || atRevision("", "696f056d") {
		t.Error("no revision is at one")
	}
}

func TestStatusIsCurrentWhenItIsAboutThePresentSpec(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]bool{
		"observedGeneration: 2": true, "observedGeneration: 1": false, "observedGeneration: -1": false, "{}": true,
		"conditions: [{type: Ready, status: 'True', observedGeneration: 1}]":                          false,
		"{observedGeneration: 2, conditions: [{type: Ready, status: 'True', observedGeneration: 2}]}": true,
	} {
		raw, err := yaml.YAMLToJSON([]byte("kind: Kustomization\nmetadata: {name: app, generation: 2}\nstatus:\n  " + strings.TrimSpace(status)))
		if err != nil {
			t.Fatal(err)
		}
		o, err := readObject(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := o.current(); got != want {
			t.Errorf("%s: %v", status, got)
		}
	}
}

func TestStatusOfANewerHubIsReadAsFarAsItGoes(t *testing.T) {
	t.Parallel()
	o, err := readObject([]byte(`{"kind":"Kustomization","metadata":{"name":"app"},"status":{"fleet":"many","conditions":[{"type":"Ready","status":"True"}],"lastSeen":{}}}`))
	if err != nil || !o.is("Ready") {
		t.Errorf("%v, %+v", err, o)
	}
}
