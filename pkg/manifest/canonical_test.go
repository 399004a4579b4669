package manifest_test

import (
	"errors"
	"math"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

func TestCanonicalSortsKeysAndEscapesNothingForHTML(t *testing.T) {
	t.Parallel()
	got, err := manifest.Canonical(map[string]any{"b": []any{1, "<a & b>"}, "a": map[string]any{"z": nil, "y": true}, "": "ü"})
	const want = `{"":"ü","a":{"y":true,"z":null},"b":[1,"<a & b>"]}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func TestCanonicalFormKeepsNumbersAsYAMLHasThem(t *testing.T) {
	t.Parallel()
	const doc = "apiVersion: v1\nkind: X\nmetadata: {name: a}\n" +
		"numbers: [9007199254740993, 18446744073709551615, -9223372036854775808, 1.5, 1e3, 0x10, 0o17, .5]\n" +
		"texts: ['1', \"0x10\", 1.2.3, 12:30:45, 2001-01-01]\n"
	m, blobs, err := manifest.New([][]byte{[]byte(doc)}, manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"apiVersion":"v1","kind":"X","metadata":{"name":"a"},` +
		`"numbers":[9007199254740993,18446744073709551615,-9223372036854775808,1.5,1000,16,15,0.5],` +
		`"texts":["1","0x10","1.2.3","12:30:45","2001-01-01"]}`
	if got := string(blobs[m.Entries[0].Digest]); got != want {
		t.Errorf("canonical form\n%s\nwant\n%s", got, want)
	}
}

func TestCanonicalRefusesWhatJSONCannotSay(t *testing.T) {
	t.Parallel()
	if _, err := manifest.Canonical(map[string]any{"a": math.Inf(1)}); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("error %v, want an invalid one", err)
	}
}
