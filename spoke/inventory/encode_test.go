package inventory

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestAnEntryNeverTakesMoreThanItsCost(t *testing.T) {
	t.Parallel()
	for _, e := range []Entry{
		{},
		{
			Ref: fleet.ObjectRef{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "apps", Name: "web"},
			UID: "00000000-0000-0000-0000-000000000000", Applied: fleet.DigestOf([]byte("content")),
			Kept: true, Protected: true, Fresh: true, Going: true, Resolved: true, Secret: true,
		},
	} {
		if took := len(encode([]Entry{e})); took > cost(e) {
			t.Errorf("%+v takes %d bytes, more than %d", e, took, cost(e))
		}
	}
}

func TestWhatWasWrittenBeforeMarksCameIsStillRead(t *testing.T) {
	t.Parallel()
	const old = `{"version":"v1","kind":"ConfigMap","namespace":"apps","name":"a","uid":"u","kept":true,"fresh":true}` + "\n"
	entries, err := decode(old)
	if err != nil || len(entries) != 1 || entries[0].Going || !entries[0].Kept || !entries[0].Fresh {
		t.Fatalf("%+v, %v", entries, err)
	}
	if again := encode(entries); again != old {
		t.Errorf("it is written as %s", again)
	}
	entries[0].Going = true
	if marked := encode(entries); !strings.Contains(marked, `"going":true`) {
		t.Errorf("a marked one is written as %s", marked)
	}
}
