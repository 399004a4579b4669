package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/rpc"
	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/pkg/telemetry"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

const (
	// protocol is the version spoken, and the oldest one understood.
	protocol    = 1
	protocolMin = 1
	// The hub says how often it is heard; these bound what it may say.
	minPeriod, defaultPeriod, maxPeriod = time.Second, 15 * time.Second, 5 * time.Minute
	// missedPeriods without a message end the round: a proxy may hold a dead connection open.
	missedPeriods = 3
)

var (
	errSilent  = errors.New("the hub was not heard for too long")
	errRenewed = errors.New("the certificate was renewed")
)

// round is one connection: it begins with a hello and ends with any failure.
type round struct {
	client *Client
	log    *slog.Logger
	hub    spokev1.SpokeServiceClient
	stream spokev1.SpokeService_ConnectClient
	// cancel ends the stream.
	cancel context.CancelCauseFunc
	// heard is set by every message.
	heard run.Wake

	number   uint64
	period   time.Duration
	protocol uint32
	safeMode bool
	// asked holds a place for each question that is being answered, refused for each that is refused; answering waits for
	// them.
	asked     chan struct{}
	refused   chan struct{}
	answering sync.WaitGroup
}

// round connects once and stays connected as long as nothing fails.
func (c *Client) round(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.mu.Lock()
	mine := c.identity
	c.mu.Unlock()
	cert, err := mine.tls()
	if err != nil {
		return err
	}
	conn, err := c.dial(mine.Pin, cert)
	if err != nil {
		return err
	}
	defer conn.Close()
	r := &round{
		client: c, log: c.Log, hub: spokev1.NewSpokeServiceClient(conn), cancel: cancel,
		heard: run.NewWake(), asked: make(chan struct{}, maxQuestions), refused: make(chan struct{}, maxQuestions),
	}
	err = r.open(ctx)
	if errors.Is(err, fleet.ErrUnauthenticated) {
		// The certificate ran out while the hub or this spoke was away. By whose clock, is the hub's to say.
		if err := c.renewOnce(ctx, r.hub); err != nil {
			return err
		}
		return errRenewed
	}
	if err != nil {
		return err
	}
	c.connected(r)
	defer c.disconnected()
	defer r.answering.Wait()
	return run.All(ctx,
		run.Named{Name: "receive", Task: r.receive},
		run.Named{Name: "listen", Task: r.listen},
		run.Named{Name: "report", Task: r.report},
		run.Named{Name: "renew", Task: func(ctx context.Context) error { return r.renew(ctx, cert.Leaf) }},
	)
}

// open says hello and waits for the Welcome.
func (r *round) open(ctx context.Context) error {
	late := time.AfterFunc(callTimeout, func() { r.cancel(errSilent) })
	defer late.Stop()
	stream, err := r.hub.Connect(ctx, r.client.hello(ctx))
	if err != nil {
		return r.failure(ctx, err)
	}
	message, err := stream.Recv()
	if err != nil {
		return r.failure(ctx, err)
	}
	welcome := message.GetWelcome()
	if welcome == nil {
		return fmt.Errorf("the first message: %w: it is no Welcome", fleet.ErrInvalid)
	}
	r.protocol = welcome.GetProtocol()
	if r.protocol < protocolMin || r.protocol > protocol {
		return fmt.Errorf("the hub speaks protocol %d, this spoke %d to %d: %w", r.protocol, protocolMin, protocol, fleet.ErrTerminal)
	}
	r.stream, r.number, r.safeMode = stream, welcome.GetSession(), welcome.GetSafeMode()
	r.period = defaultPeriod
	if asked := welcome.GetHeartbeatPeriod(); asked.IsValid() && asked.AsDuration() > 0 {
		r.period = min(max(asked.AsDuration(), minPeriod), maxPeriod)
	}
	r.log = r.log.With(telemetry.KeySession, r.number)
	if welcome.GetUnchanged() {
		r.client.satisfied()
	}
	return nil
}

// hello is what the spoke says first. Its state has no digest when the full set is wanted: the number alone then tells
// a hub that it is behind.
func (c *Client) hello(ctx context.Context) *spokev1.ConnectRequest {
	facts := c.Facts(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.replica.held.ID
	if c.wantFull || state.IsZero() {
		state = c.replica.mark
	}
	return &spokev1.ConnectRequest{
		Protocol: protocol, ProtocolMin: protocolMin, ClusterName: c.identity.ClusterName,
		State: stateToWire(state), Facts: factsToWire(facts),
	}
}

// receive takes what the hub sends.
func (r *round) receive(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { r.cancel(nil) }) // Recv ends with the stream's context
	defer stop()
	for {
		message, err := r.stream.Recv()
		if err != nil {
			return r.failure(ctx, err)
		}
		r.heard.Set()
		switch {
		case message.GetDesired() != nil:
			if err := r.desired(ctx, message.GetDesired()); err != nil {
				return err
			}
		case message.GetQuestion() != nil:
			r.question(ctx, message.GetQuestion())
		}
	}
}

// desired follows the desired state.
func (r *round) desired(ctx context.Context, message *spokev1.Desired) error {
	c := r.client
	c.mu.Lock()
	changed, err := c.replica.receive(message, r.protocol, r.safeMode)
	state, by := c.replica.held, c.replica.latest
	if err != nil || c.replica.pending == nil {
		c.wantFull = err != nil
	}
	c.mu.Unlock()
	switch {
	case errors.Is(err, errLower) && r.safeMode:
		r.log.Debug("the hub is behind; its state is left alone", telemetry.KeyErr, err)
		return nil
	case err != nil:
		c.metrics.refused.Inc()
		return err
	case !changed:
		return nil
	}
	// Kept before it is acted on: a restart must not fall behind it.
	c.keeper.keep(state, by)
	c.metrics.accepted.Inc()
	r.log.Info("desired state accepted", telemetry.KeyState, state.ID, "assignments", len(state.Items))
	c.accept(ctx, state)
	c.outbox.wake.Set() // acknowledge
	return nil
}

// listen ends the round when the hub has not been heard for too long.
func (r *round) listen(ctx context.Context) error {
	patience := time.NewTimer(missedPeriods * r.period)
	defer patience.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.heard.C():
			patience.Reset(missedPeriods * r.period)
		case <-patience.C:
			return errSilent
		}
	}
}

// failure is the error of a call, or why the round ended it.
func (r *round) failure(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return rpc.FromStatus(err)
}

// connected opens what needs a round: everything is reported anew, and Fetch works.
func (c *Client) connected(r *round) {
	c.mu.Lock()
	c.hub, c.strange = r.hub, false
	c.mu.Unlock()
	c.metrics.connected.Set(1)
	c.outbox.begin()
	c.trouble.over()
	if c.Reached != nil {
		c.Reached()
	}
	r.log.Info("connected to the hub", telemetry.KeyAddress, c.Hub, "safeMode", r.safeMode)
	if r.safeMode {
		r.log.Warn("the hub is behind this cluster: nothing is pruned or removed until `fleetctl hub recover`")
	}
}

func (c *Client) disconnected() {
	c.mu.Lock()
	c.hub = nil
	c.mu.Unlock()
	c.metrics.connected.Set(0)
}

// satisfied takes note that what is held is what is desired.
func (c *Client) satisfied() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wantFull = false
}
