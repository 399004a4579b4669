package session

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/rpc"
	"flotilla.dev/flotilla/pkg/run"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// coalesce is how long news waits for more of it: a pass that moves many Assignments is a few requests.
const coalesce = 50 * time.Millisecond

// report sends what is in the outbox, and an empty report when there is nothing to say for a period.
func (r *round) report(ctx context.Context) error {
	var sequence uint64
	heartbeat := time.NewTimer(r.period)
	defer heartbeat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-heartbeat.C:
		case <-r.client.outbox.wake.C():
			if err := run.Sleep(ctx, coalesce); err != nil {
				return nil
			}
		}
		for more := true; more; {
			batch := r.client.outbox.next()
			sequence++
			if err := r.send(ctx, sequence, batch); err != nil {
				return err
			}
			r.client.outbox.stored(batch)
			more = batch.more
		}
		heartbeat.Reset(r.period)
	}
}

// send repeats a request until the hub has stored it. Only what says that this session is over ends it.
func (r *round) send(ctx context.Context, sequence uint64, batch batch) error {
	request := r.client.request(batch)
	request.Session, request.Sequence = r.number, sequence
	back := run.Backoff{Min: backoffMin, Max: backoffMax}
	for {
		err := r.sendOnce(ctx, request)
		switch {
		case err == nil:
			r.client.metrics.reports.Add(float64(len(request.GetReports())))
			return nil
		case !mayPass(err):
			return r.failure(ctx, err)
		}
		r.client.trouble.warn("a report was not stored; trying on", rpc.FromStatus(err))
		if err := run.Sleep(ctx, back.Next()); err != nil {
			return err
		}
	}
}

func (r *round) sendOnce(ctx context.Context, request *spokev1.ReportRequest) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := r.hub.Report(ctx, request)
	return err
}

// mayPass reports whether the same request may succeed later in the same session, as when the hub's database is away.
func mayPass(err error) bool {
	switch status.Code(err) {
	case codes.Internal, codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Unknown:
		return !errors.Is(err, context.Canceled)
	}
	return false
}

// request is a batch with the state the spoke works from.
func (c *Client) request(batch batch) *spokev1.ReportRequest {
	c.mu.Lock()
	working := c.working
	c.mu.Unlock()
	request := &spokev1.ReportRequest{Acknowledged: stateToWire(working)}
	for _, report := range batch.reports {
		request.Reports = append(request.Reports, reportToWire(report))
	}
	for _, event := range batch.events {
		request.Events = append(request.Events, eventToWire(event))
	}
	if working.IsZero() {
		return request // what is unknown is not known before the state is
	}
	for _, app := range c.Unknown() {
		request.UnknownAssignments = append(request.UnknownAssignments, app.String())
	}
	return request
}
