package main

import (
	"testing"
	"time"
)

func TestTheLastStateAcceptedBetweenTwoTimesIsFound(t *testing.T) {
	t.Parallel()
	const log = `time=2026-01-01T10:00:00.100Z level=INFO msg="desired state accepted" state=1/1
time=2026-01-01T10:00:00.200Z level=INFO msg="desired state accepted" state=1/2
time=2026-01-01T10:00:00.300Z level=INFO msg=applied
time=2026-01-01T10:00:00.400Z level=INFO msg="desired state accepted" state=1/3
`
	at := func(ms int) time.Time { return time.Date(2026, 1, 1, 10, 0, 0, ms*1e6, time.UTC) }
	if got := lastAccepted(log, at(50), at(350)); !got.Equal(at(200)) {
		t.Errorf("it is %s", got)
	}
	if got := lastAccepted(log, at(450), at(500)); !got.IsZero() {
		t.Errorf("it is %s, where there is none", got)
	}
}
