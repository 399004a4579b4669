package schedule_test

import (
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/schedule"
)

func windows(t *testing.T, all ...fleet.Window) schedule.Windows {
	t.Helper()
	parsed, err := schedule.Parse(all)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestAWindowThatCannotBeReadOrNeverOpensIsRefusedWithItsPath(t *testing.T) {
	t.Parallel()
	hour := fleet.Lasting(time.Hour)
	for want, w := range map[string]fleet.Window{
		`spec.windows[0].cron: "often"`:                                        {Cron: "often", Duration: hour},
		`spec.windows[0].cron: "0 0 31 2 *" never comes`:                       {Cron: "0 0 31 2 *", Duration: hour},
		`spec.windows[0].timeZone: "Middle/Earth" is no time zone`:             {Cron: "@daily", TimeZone: "Middle/Earth", Duration: hour},
		`spec.windows[0].timeZone: "Local" is no time zone`:                    {Cron: "@daily", TimeZone: "Local", Duration: hour},
		`spec.windows[0].cron: "TZ=UTC": the time zone has a field of its own`: {Cron: "TZ=UTC", Duration: hour},
		`spec.windows[0].cron: "@every 1h": it does not say`:                   {Cron: "@every 1h", Duration: hour},
	} {
		if _, err := schedule.Parse([]fleet.Window{w}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, not %s", w, err, want)
		}
	}
}

func TestAWindowIsOpenFromItsTimeForItsLength(t *testing.T) {
	t.Parallel()
	office := windows(t, fleet.Window{Cron: "0 8 * * 1-5", TimeZone: "Europe/London", Duration: fleet.Lasting(8 * time.Hour)})
	for now, want := range map[string]struct {
		open    bool
		changes string
	}{
		"2026-03-06T07:59:59Z": {false, "2026-03-06T08:00:00Z"},
		"2026-03-06T08:00:00Z": {true, "2026-03-06T16:00:00Z"},
		"2026-03-06T15:59:59Z": {true, "2026-03-06T16:00:00Z"},
		"2026-03-06T16:00:00Z": {false, "2026-03-09T08:00:00Z"},
		"2026-03-30T07:00:00Z": {true, "2026-03-30T15:00:00Z"}, // summer time has begun
	} {
		open, changes := office.Open(at(t, now))
		if open != want.open || !changes.Equal(at(t, want.changes)) {
			t.Errorf("%s: %v until %s, not %v until %s", now, open, changes, want.open, want.changes)
		}
	}
}

func TestWindowsThatOverlapAreOne(t *testing.T) {
	t.Parallel()
	both := windows(t, fleet.Window{Cron: "0 8 * * *", Duration: fleet.Lasting(4 * time.Hour)}, fleet.Window{Cron: "0 11 * * *", Duration: fleet.Lasting(4 * time.Hour)})
	if open, changes := both.Open(at(t, "2026-03-06T11:30:00Z")); !open || !changes.Equal(at(t, "2026-03-06T15:00:00Z")) {
		t.Errorf("%v until %s", open, changes)
	}
	if open, changes := (schedule.Windows{}).Open(at(t, "2026-03-06T11:30:00Z")); !open || !changes.IsZero() {
		t.Errorf("without windows: %v until %s", open, changes)
	}
}
