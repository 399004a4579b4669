package session

import (
	"context"
	"fmt"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// Report stores what a spoke says. The answer means that it is stored.
func (s *Server) Report(ctx context.Context, req *spokev1.ReportRequest) (*spokev1.ReportResponse, error) {
	batch, err := batchOf(req)
	if err != nil {
		return nil, err
	}
	if err := s.Store.StoreReports(ctx, callerOf(ctx).cluster, batch); err != nil {
		return nil, err
	}
	s.metrics.reports.Add(float64(len(batch.Reports)))
	return &spokev1.ReportResponse{}, nil
}

func batchOf(req *spokev1.ReportRequest) (batch fleet.ReportBatch, err error) {
	batch = fleet.ReportBatch{Session: req.GetSession(), Sequence: req.GetSequence()}
	if batch.Acknowledged, err = stateID(req.GetAcknowledged()); err != nil {
		return batch, err
	}
	for _, message := range req.GetReports() {
		report, err := reportOf(message)
		if err != nil {
			return batch, fmt.Errorf("report of %q: %w", message.GetKey(), err)
		}
		batch.Reports = append(batch.Reports, report)
	}
	for _, text := range req.GetUnknownAssignments() {
		key, err := fleet.ParseKey(text)
		if err != nil {
			return batch, err
		}
		batch.Unknown = append(batch.Unknown, key)
	}
	for _, message := range req.GetEvents() {
		event, err := eventOf(message)
		if err != nil {
			return batch, err
		}
		batch.Events = append(batch.Events, event)
	}
	return batch, nil
}

func reportOf(m *spokev1.AssignmentReport) (r fleet.Report, err error) {
	r = fleet.Report{
		Epoch: m.GetEpoch(), Generation: m.GetGeneration(),
		Stage: stages[m.GetStage()], Waiting: waitings[m.GetWaiting()],
		Converged: m.GetConverged(), Available: m.GetAvailable(), Terminal: m.GetTerminal(),
		Ready: conditionOf(m.GetReady()), Healthy: conditionOf(m.GetHealthy()),
		Objects: int(m.GetObjects()), ObjectsNotReady: int(m.GetObjectsNotReady()),
		HandledReconcileAt: clip(m.GetHandledReconcileAt(), 256), ObservedAt: m.GetObservedAt().AsTime(),
		DriftCorrections: m.GetDriftCorrections(),
	}
	if r.Stage == "" || r.Waiting == "" {
		return r, fmt.Errorf("%w: stage %s, waiting %s", fleet.ErrInvalid, m.GetStage(), m.GetWaiting())
	}
	if r.App, err = fleet.ParseKey(m.GetKey()); err != nil {
		return r, err
	}
	if r.Release, err = fleet.DigestFromBytes(m.GetRelease()); err != nil {
		return r, err
	}
	if r.Applied, err = fleet.DigestFromBytes(m.GetAppliedRelease()); err != nil {
		return r, err
	}
	for i, o := range m.GetNotReady() {
		if i == fleet.MaxNotReady {
			break
		}
		r.NotReady = append(r.NotReady, fleet.ObjectStatus{Object: refOf(o.GetObject()), Status: clip(o.GetStatus(), 64), Message: clip(o.GetMessage(), maxText)})
	}
	if held := m.GetHeldPrune(); held != nil {
		digest, err := fleet.DigestFromBytes(held.GetDigest())
		if err != nil {
			return r, err
		}
		r.HeldPrune = &fleet.HeldPrune{Digest: digest, Count: int(held.GetCount()), Reason: clip(held.GetReason(), maxText)}
	}
	return r, nil
}

func eventOf(m *spokev1.Event) (e fleet.Event, err error) {
	e = fleet.Event{Number: m.GetNumber(), Object: refOf(m.GetObject()), Warning: m.GetWarning(),
		Reason: clip(m.GetReason(), 128), Message: clip(m.GetMessage(), maxText), At: m.GetAt().AsTime()}
	if m.GetKey() != "" {
		e.App, err = fleet.ParseKey(m.GetKey())
	}
	return e, err
}

// maxText bounds a message for people, in bytes.
const maxText = 4096

// clip bounds text that a spoke gave and drops what no database or terminal should see.
func clip(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}
