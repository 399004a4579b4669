package job_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"flotilla.dev/flotilla/spoke/helm/job"
)

func TestAMessageArrivesAsItWasSent(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{"", "a", strings.Repeat("b", 100_000)} {
		var wire bytes.Buffer
		if err := job.Send(&wire, job.MessageAnswer, []byte(payload)); err != nil {
			t.Fatal(err)
		}
		kind, got, err := job.Receive(&wire, job.MaxAnswer)
		if err != nil || kind != job.MessageAnswer || string(got) != payload {
			t.Errorf("%d bytes arrive as %q of %d: %v", len(payload), kind, len(got), err)
		}
	}
}

// Who says that it sends much, and sends nothing, costs nothing. It is not parallel: it measures what is allocated.
func TestTheHeadOfAMessageTakesNoMemory(t *testing.T) {
	head := binary.BigEndian.AppendUint32([]byte{job.MessageAnswer}, job.MaxAnswer)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := job.Receive(bytes.NewReader(append(head, "abc"...)), job.MaxAnswer)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the error is %v", err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > job.MaxAnswer/4 {
		t.Errorf("%d bytes were taken for 3", took)
	}
	binary.BigEndian.PutUint32(head[1:], job.MaxAnswer+1)
	if _, _, err := job.Receive(bytes.NewReader(head), job.MaxAnswer); err == nil || !strings.Contains(err.Error(), "are allowed") {
		t.Errorf("the error is %v", err)
	}
}
