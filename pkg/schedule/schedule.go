package schedule

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // an image need not have the database

	"github.com/robfig/cron/v3"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Windows are times in which clusters are updated; none: always.
type Windows []window

type window struct {
	schedule cron.Schedule
	zone     *time.Location
	duration time.Duration
}

// parser reads five fields. A time zone has a field of its own, so that its names are checked where they are given.
var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// Parse reads the windows of a policy. Its errors are fleet.FieldErrors below spec.windows.
func Parse(windows []fleet.Window) (Windows, error) {
	var fields fleet.Fields
	parsed := make(Windows, len(windows))
	for i, w := range windows {
		at := fmt.Sprintf("spec.windows[%d]", i)
		if word := unsupported(w.Cron); word != "" {
			fields.Refuse(at+".cron", "%q: %s", w.Cron, word)
			continue
		}
		schedule, err := parser.Parse(w.Cron)
		if err != nil {
			fields.Refuse(at+".cron", "%q: %s", w.Cron, err)
			continue
		}
		zone, err := time.LoadLocation(w.TimeZone)
		if err != nil || w.TimeZone == "Local" {
			fields.Refuse(at+".timeZone", "%q is no time zone such as Europe/Berlin", w.TimeZone)
			continue
		}
		parsed[i] = window{schedule: schedule, zone: zone, duration: w.Duration.OrZero()}
		if schedule.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, zone)).IsZero() {
			fields.Refuse(at+".cron", "%q never comes: the window never opens", w.Cron)
		}
	}
	return parsed, fields.Err()
}

// unsupported says of what the parser would take why it is no time at which a window opens; empty: it may be one.
func unsupported(cron string) string {
	switch cron = strings.TrimSpace(cron); {
	case strings.HasPrefix(cron, "TZ="), strings.HasPrefix(cron, "CRON_TZ="):
		return "the time zone has a field of its own, timeZone"
	case strings.HasPrefix(cron, "@every"):
		return "it does not say when the first time is; give five fields, such as `0 8 * * 1-5`"
	}
	return ""
}

// Open reports whether one of the windows is open at a time, and when that changes next: never is zero.
func (w Windows) Open(at time.Time) (open bool, changes time.Time) {
	if len(w) == 0 {
		return true, time.Time{}
	}
	for _, each := range w {
		until, is := each.openUntil(at)
		switch {
		case is && (!open || until.After(changes)):
			open, changes = true, until
		case !is && !open && !until.IsZero() && (changes.IsZero() || until.Before(changes)):
			changes = until
		}
	}
	return open, changes
}

// openUntil returns when an open window closes, or when a closed one opens.
func (w window) openUntil(at time.Time) (changes time.Time, open bool) {
	// The last start counts, as one within a window prolongs it. It is looked for further and further back: all starts of a
	// long window may be millions.
	for back := time.Minute; ; back *= 2 {
		back = min(back, w.duration)
		switch start := w.schedule.Next(at.In(w.zone).Add(-back)); {
		case start.IsZero():
			return time.Time{}, false
		case !start.After(at):
			return w.last(start, at).Add(w.duration), true
		case back == w.duration:
			return start, false
		}
	}
}

// last is the last start until a time, from one on.
func (w window) last(start, until time.Time) time.Time {
	for {
		next := w.schedule.Next(start)
		if next.IsZero() || next.After(until) {
			return start
		}
		start = next
	}
}
