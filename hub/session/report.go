package session

import (
	"context"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// Report stores what a spoke says. The answer means that it is stored.
func (s *Server) Report(ctx context.Context, req *spokev1.ReportRequest) (*spokev1.ReportResponse, error) {
	batch, skipped, err := batchOf(req)
	if err != nil {
		return nil, err
	}
	cluster := callerOf(ctx).cluster
	if len(skipped) > 0 {
		s.metrics.skipped.Add(float64(len(skipped)))
		s.Log.Warn("parts of a report are not understood and skipped: is the spoke of a newer version?", "cluster", cluster, "skipped", len(skipped), "err", skipped[0])
	}
	if err := s.Store.StoreReports(ctx, cluster, batch); err != nil {
		return nil, err
	}
	s.metrics.reports.Add(float64(len(batch.Reports)))
	return &spokev1.ReportResponse{}, nil
}

// batchOf reads a request. A part that is not understood is skipped, with the reason, since the spoke repeats the
// request until it is stored: it must not keep the rest from the hub.
func batchOf(req *spokev1.ReportRequest) (batch fleet.ReportBatch, skipped []error, err error) {
	batch = fleet.ReportBatch{Session: req.GetSession(), Sequence: req.GetSequence()}
	if batch.Session > maxCount || batch.Sequence > maxCount {
		return batch, nil, fmt.Errorf("report: %w: session %d, sequence %d", fleet.ErrInvalid, batch.Session, batch.Sequence)
	}
	if batch.Acknowledged, err = stateID(req.GetAcknowledged()); err != nil {
		return batch, nil, err
	}
	for _, message := range req.GetReports() {
		report, err := reportOf(message)
		if err != nil {
			skipped = append(skipped, fmt.Errorf("report of %q: %w", message.GetKey(), err))
			continue
		}
		if report.Detail, err = detailOf(message.GetDetail()); err != nil { // the rest of the report is worth having
			report.DetailLost = true
			skipped = append(skipped, fmt.Errorf("report of %s: %w", report.App, err))
		}
		batch.Reports = append(batch.Reports, report)
	}
	for _, text := range req.GetUnknownAssignments() {
		if key, err := keyOf(text); err == nil {
			batch.Unknown = append(batch.Unknown, key)
		} else {
			skipped = append(skipped, fmt.Errorf("unknown Assignment: %w", err))
		}
	}
	for _, message := range req.GetEvents() {
		if event, err := eventOf(message); err == nil {
			batch.Events = append(batch.Events, event)
		} else {
			skipped = append(skipped, fmt.Errorf("event %d: %w", message.GetNumber(), err))
		}
	}
	return batch, skipped, nil
}

func reportOf(m *spokev1.AssignmentReport) (r fleet.Report, err error) {
	r = fleet.Report{
		Epoch: m.GetEpoch(), Generation: m.GetGeneration(),
		Stage: stages[m.GetStage()], Waiting: waitings[m.GetWaiting()],
		Converged: m.GetConverged(), Available: m.GetAvailable(), Terminal: m.GetTerminal(),
		Ready: conditionOf(m.GetReady()), Healthy: conditionOf(m.GetHealthy()),
		Objects: count(m.GetObjects()), ObjectsNotReady: count(m.GetObjectsNotReady()),
		HandledReconcileAt: clip(m.GetHandledReconcileAt(), 256), ObservedAt: moment(m.GetObservedAt()),
		DriftCorrections: min(m.GetDriftCorrections(), maxCount),
	}
	if r.Stage == "" || r.Waiting == "" {
		return r, fmt.Errorf("%w: stage %s, waiting %s", fleet.ErrInvalid, m.GetStage(), m.GetWaiting())
	}
	if r.Epoch > maxCount || r.Generation > maxCount {
		return r, fmt.Errorf("%w: epoch %d, generation %d", fleet.ErrInvalid, r.Epoch, r.Generation)
	}
	if r.App, err = keyOf(m.GetKey()); err != nil {
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
		r.HeldPrune = &fleet.HeldPrune{Digest: digest, Count: count(held.GetCount()), Reason: clip(held.GetReason(), maxText)}
	}
	return r, nil
}

func eventOf(m *spokev1.Event) (e fleet.Event, err error) {
	e = fleet.Event{Number: m.GetNumber(), Object: refOf(m.GetObject()), Warning: m.GetWarning(),
		Reason: clip(m.GetReason(), 128), Message: clip(m.GetMessage(), maxText), At: moment(m.GetAt())}
	if e.Number > maxCount {
		return e, fmt.Errorf("%w: no spoke counts that far", fleet.ErrInvalid)
	}
	if m.GetKey() != "" {
		e.App, err = keyOf(m.GetKey())
	}
	return e, err
}
