package session

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestDetailGoesWithAReportUnlessItIsTooLong(t *testing.T) {
	t.Parallel()
	detail := []byte(`{"failures":1}`)
	if got := reportToWire(fleet.Report{Detail: detail}).GetDetail(); !bytes.Equal(got, detail) {
		t.Errorf("sent is %q, want %q", got, detail)
	}
	if got := reportToWire(fleet.Report{Detail: bytes.Repeat([]byte(" "), fleet.MaxDetail+1)}).GetDetail(); got != nil {
		t.Errorf("%d bytes are sent; at most %d should", len(got), fleet.MaxDetail)
	}
}

// A chart decides how many tests it has, and each of the versions in the history may have them.
func TestDetailThatIsTooLongGoesWithoutWhatIsOldest(t *testing.T) {
	t.Parallel()
	status := fleet.HelmStatus{Stalled: fleet.Condition{Status: fleet.True, Reason: "RetriesExceeded"}}
	for version := range 5 {
		hooks := map[string]*fleet.HelmTestHook{}
		for n := range 300 {
			hooks[fmt.Sprintf("%060d", n)] = &fleet.HelmTestHook{Phase: "Succeeded"}
		}
		status.History = append(status.History, fleet.HelmSnapshot{Version: 5 - version, TestHooks: hooks})
	}
	detail, err := json.Marshal(status)
	if err != nil {
		t.Fatal(err)
	}
	sent := reportToWire(fleet.Report{Detail: detail}).GetDetail()
	var got fleet.HelmStatus
	if err := json.Unmarshal(sent, &got); err != nil || len(sent) > fleet.MaxDetail {
		t.Fatalf("of %d bytes %d are sent, error %v", len(detail), len(sent), err)
	}
	if len(got.History) != 5 || len(got.History[0].TestHooks) != 300 || got.Stalled != status.Stalled {
		t.Errorf("sent are %d versions, the newest with %d tests, stalled %+v", len(got.History), len(got.History[0].TestHooks), got.Stalled)
	}
}
