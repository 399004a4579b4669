package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// rolloutScreen is a Rollout as a person looks at it.
type rolloutScreen struct {
	app     *app
	rollout *adminv1.Rollout
	// clusters are those that there is something to say of; more: there are others.
	clusters []*adminv1.RolloutCluster
	more     bool
	// left are the first clusters that it is not about; moreLeft: there are others.
	left     []*adminv1.NotTargeted
	moreLeft bool
	// queued is the one that waits for it, if there is one.
	queued []*adminv1.Rollout
	// behind is the one that it waits for, where that waits for a person.
	behind *adminv1.Rollout
	// next is what a person has to do, or may; empty: nothing.
	next string
	out  bytes.Buffer
}

// draw lays the Rollout out: what it is, where it is, its waves with the clusters that are not there, and what comes next.
func (s *rolloutScreen) draw() []byte {
	ro := s.rollout
	s.line("%s   %s   %s   %s", ro.GetId(), appOf(ro).command(), releaseText(ro), s.begun())
	if cause := causeText(ro); cause != "" {
		s.line("  %s", cause)
	}
	s.line("%s   %s", s.app.phaseMark(ro), strings.Join(s.progress(), "   "))
	if why := whyText(ro); why != "" && ro.GetReason() != "WaitingGate" { // the gate says it below
		s.line("  %s", why)
	}
	width := 0
	for _, w := range ro.GetWaves() {
		width = max(width, utf8.RuneCountInString(w.GetName()))
	}
	for i, w := range ro.GetWaves() {
		s.wave(i, w, width)
	}
	if len(s.left) > 0 {
		s.line("  not targeted: %s", s.notTargeted())
	}
	if s.more {
		s.line("  more clusters: fleetctl rollout status %s --watch=false -o wide", ro.GetId())
	}
	if s.behind != nil {
		s.line("  behind: %s", summary(s.behind))
	}
	for _, next := range s.queued {
		s.line("  queued: %s   %s   %s", next.GetId(), releaseText(next), whyText(next))
	}
	if s.next != "" {
		s.line("%s %s", s.app.mark(symbolNext, false), s.next)
	}
	return s.out.Bytes()
}

func (s *rolloutScreen) line(format string, args ...any) {
	fmt.Fprintln(&s.out, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

// begun says when the Rollout began, and by whom.
func (s *rolloutScreen) begun() string {
	ro, now := s.rollout, s.app.now()
	text := "by " + ro.GetActor()
	switch {
	case ro.GetFinished().IsValid() && ro.GetStarted().IsValid():
		return text + ", took " + printer.Duration(ro.GetFinished().AsTime().Sub(ro.GetStarted().AsTime()))
	case ro.GetStarted().IsValid():
		return text + ", " + age(ro.GetStarted(), now) + " ago"
	case ro.GetCreated().IsValid():
		return text + ", waits for " + age(ro.GetCreated(), now)
	}
	return text
}

func (s *rolloutScreen) progress() []string {
	t := s.rollout.GetTotals()
	if len(s.rollout.GetWaves()) == 0 {
		return nil
	}
	return append([]string{s.app.bar(t) + " " + doneText(t)}, troubles(t)...)
}

func (s *rolloutScreen) wave(i int, w *adminv1.RolloutWave, width int) {
	notes := troubles(w.GetTotals())
	if failed := w.GetTotals().GetFailed(); failed > 0 {
		notes[0] = fmt.Sprintf("%d failed (%d may)", failed, w.GetMaxFailures())
	}
	active := w == waveUnderWay(s.rollout) && !over(s.rollout)
	switch w.GetPhase() {
	case "Pending":
		notes = append(notes, s.before(i, w)...)
	case "Skipped":
		notes = append(notes, "skipped: it has no clusters")
	case "Done":
		for _, g := range append(slices.Clone(w.GetBefore()), w.GetAfter()...) {
			notes = append(notes, s.app.gateMark(g)+" "+g.GetName())
		}
	}
	s.line("  %s wave %d %-*s %9s   %6s   %s", s.app.evenMark(s.waveSymbol(w)), i+1, width, w.GetName(),
		doneText(w.GetTotals()), s.took(i), strings.Join(notes, ", "))
	for _, c := range s.clusters {
		if int(c.GetWave()) == i {
			s.cluster(c)
		}
	}
	if active && w.GetPhase() != "Pending" {
		s.gates("before", w.GetBefore())
		s.gates("after", w.GetAfter())
	}
}

// before says what a wave that is not begun waits for.
func (s *rolloutScreen) before(i int, w *adminv1.RolloutWave) []string {
	if over(s.rollout) {
		return []string{"not begun"}
	}
	var notes []string
	if i > 0 {
		notes = append(notes, "waits for wave "+s.rollout.GetWaves()[i-1].GetName())
	}
	for _, g := range w.GetBefore() {
		notes = append(notes, "then "+gateNeeds(g))
	}
	return notes
}

func (s *rolloutScreen) waveSymbol(w *adminv1.RolloutWave) symbol {
	t := w.GetTotals()
	back := slices.Contains([]string{phaseRollingBack, phaseRolledBack, phaseRollbackFailed}, s.rollout.GetPhase())
	switch {
	case w.GetPhase() == "Done" && back && (t.GetRolledBack() > 0 || t.GetSucceeded() == 0):
		return symbolFail
	case w.GetPhase() == "Done" && t.GetSize() > 0 && t.GetSize() == t.GetSkipped()+t.GetRemoved():
		return symbolNone // it is done by nobody
	case w.GetPhase() == "Done":
		return symbolDone
	case w.GetPhase() == "Pending":
		return symbolRest
	case w.GetPhase() == "Skipped":
		return symbolNone
	}
	switch s.rollout.GetPhase() {
	case phaseHalted, phaseRollingBack, phaseRolledBack, phaseRollbackFailed:
		return symbolFail
	case phaseCancelled, phaseSuperseded:
		return symbolNone
	}
	return symbolWait
}

// took is how long a wave has taken, until the next one was begun.
func (s *rolloutScreen) took(i int) string {
	waves := s.rollout.GetWaves()
	if !waves[i].GetEntered().IsValid() || waves[i].GetPhase() == "Skipped" {
		return ""
	}
	until := s.app.now()
	if s.rollout.GetFinished().IsValid() {
		until = s.rollout.GetFinished().AsTime()
	}
	for _, w := range waves[i+1:] {
		if w.GetEntered().IsValid() {
			until = w.GetEntered().AsTime()
			break
		}
	}
	return printer.Duration(until.Sub(waves[i].GetEntered().AsTime()))
}

func (s *rolloutScreen) cluster(c *adminv1.RolloutCluster) {
	text := c.GetPhase()
	if why := clusterTrouble(c); why != "" {
		text += ": " + why
	}
	if left := c.GetDeadlineLeft().AsDuration(); left > 0 && (c.GetPhase() == "Applying" || c.GetPhase() == "Verifying" || c.GetPhase() == "Dispatched") {
		text += fmt.Sprintf(" (%s left)", printer.Duration(left))
	}
	s.line("      %s   %s", c.GetCluster(), text)
}

func (s *rolloutScreen) gates(side string, gates []*adminv1.RolloutGate) {
	for _, g := range gates {
		text := g.GetPhase()
		if detail := gateDetail(g); detail != "" {
			text += ": " + detail
		}
		s.line("      gate %s %s (%s, %s)   %s", s.app.gateMark(g), g.GetName(), g.GetType(), side, text)
	}
}

// gateDetail is where a gate is.
func gateDetail(g *adminv1.RolloutGate) string {
	text := printer.Fold(g.GetDetail())
	if g.GetType() == "Soak" && g.GetPhase() == "Running" && g.GetRequired().AsDuration() > 0 { // as it is by now
		elapsed := min(g.GetElapsed().AsDuration(), g.GetRequired().AsDuration()).Round(time.Second)
		_, still, stands := strings.Cut(text, ", ")
		if text = fmt.Sprintf("%s of %s", shortDuration(elapsed), shortDuration(g.GetRequired().AsDuration())); stands {
			text += ", " + still
		}
	}
	if n := len(g.GetMeasurements()); n > 0 && g.GetPhase() == "Running" {
		m := g.GetMeasurements()[n-1]
		text = strings.TrimPrefix(text+"; the last answer is "+measured(m), "; ")
	}
	if g.GetType() == "Approval" && g.GetPhase() != "Passed" && len(g.GetApprovers()) > 0 {
		text += ", of " + strings.Join(g.GetApprovers(), ", ")
	}
	return strings.TrimPrefix(text, ", ")
}

func measured(m *adminv1.RolloutMeasurement) string {
	text := m.GetResult()
	if m.GetResult() == "Pass" || m.GetResult() == "Fail" {
		text = fmt.Sprintf("%s (%g)", text, m.GetValue())
	}
	if m.GetCluster() != "" {
		text += " of " + m.GetCluster()
	}
	if m.GetMessage() != "" {
		text += ": " + printer.Fold(m.GetMessage())
	}
	return text
}

// gateNeeds is what a gate that has not been asked will want.
func gateNeeds(g *adminv1.RolloutGate) string {
	switch {
	case g.GetType() == "Soak" && g.GetRequired().AsDuration() > 0:
		return "soak " + shortDuration(g.GetRequired().AsDuration())
	case g.GetType() == "Approval" && len(g.GetApprovers()) > 0:
		return "approval " + g.GetName() + " by " + strings.Join(g.GetApprovers(), ", ")
	}
	return strings.TrimSpace(strings.ToLower(g.GetType()) + " " + strings.TrimPrefix(g.GetName(), strings.ToLower(g.GetType())))
}

// shortDuration is d as one writes it: "30m", not "30m0s".
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// doneText is "412/618": never with clusters as done that are not.
func doneText(t *adminv1.RolloutTotals) string {
	return fmt.Sprintf("%d/%d", t.GetSucceeded(), t.GetSize()-t.GetSkipped()-t.GetRemoved())
}

// troubles are the counts that are not progress.
func troubles(t *adminv1.RolloutTotals) []string {
	var parts []string
	for _, part := range []struct {
		n    int32
		word string
	}{
		{t.GetFailed(), "failed"}, {t.GetDeferred(), "deferred"}, {t.GetSkipped(), "skipped"}, {t.GetRemoved(), "removed"},
		{t.GetRolledBack(), "rolled back"}, {t.GetHadFailed(), "had failed"}, {t.GetStale(), "not heard of"},
	} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.word))
		}
	}
	return parts
}

// barWidth is that of a bar of progress.
const barWidth = 15

// bar draws how far clusters are.
func (a *app) bar(t *adminv1.RolloutTotals) string {
	full, empty := "█", "░"
	if !a.utf8() {
		full, empty = "#", "-"
	}
	n := 0
	if all := int(t.GetSize() - t.GetSkipped() - t.GetRemoved()); all > 0 {
		n = min(barWidth, barWidth*int(t.GetSucceeded())/all)
	}
	return strings.Repeat(full, n) + strings.Repeat(empty, barWidth-n)
}

// phaseMark is the phase with the symbol that it has.
func (a *app) phaseMark(ro *adminv1.Rollout) string {
	s := symbolWait
	switch ro.GetPhase() {
	case phaseSucceeded:
		s = symbolDone
	case phasePaused, phaseQueued:
		s = symbolWarn
	case phaseCancelled, phaseSuperseded:
		s = symbolNone
	case phaseHalted, phaseRollingBack, phaseRolledBack, phaseRollbackFailed:
		s = symbolFail
	}
	return a.mark(s, a.colours(a.stdoutTTY)) + " " + ro.GetPhase()
}

// evenMark is the symbol for a line among others: as wide as theirs.
func (a *app) evenMark(s symbol) string {
	mark := a.mark(s, a.colours(a.stdoutTTY))
	if !a.utf8() {
		mark += strings.Repeat(" ", 2-len(s.plain))
	}
	return mark
}

func (a *app) gateMark(g *adminv1.RolloutGate) string {
	s := symbolRest
	switch g.GetPhase() {
	case "Running":
		s = symbolWait
	case "Passed":
		s = symbolDone
	case "Overridden":
		s = symbolWarn
	case "Failed", "Inconclusive":
		s = symbolFail
	}
	return a.mark(s, a.colours(a.stdoutTTY))
}

// releaseText is the revision that clusters are to come to, and the Release.
func releaseText(ro *adminv1.Rollout) string {
	target := printer.Revision(ro.GetTarget())
	if ro.GetRevision() == "" {
		return target
	}
	return printer.Revision(ro.GetRevision()) + " (" + target + ")"
}

// notTargeted names the first clusters that the Rollout is not about.
func (s *rolloutScreen) notTargeted() string {
	var parts []string
	for _, c := range s.left {
		parts = append(parts, leftText(c))
	}
	if s.moreLeft {
		parts = append(parts, "and more: fleetctl rollout status "+s.rollout.GetId()+" --watch=false -o wide")
	}
	return strings.Join(parts, "; ")
}
