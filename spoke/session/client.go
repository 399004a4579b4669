package session

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/rpc"
	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/pkg/telemetry"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

const (
	// backoffMin and backoffMax bound the pause between rounds, so that a hub that comes back is found soon and not by
	// all at once.
	backoffMin = 200 * time.Millisecond
	backoffMax = 10 * time.Second
	// refusedPause is the pause after the hub refused this cluster: only a person can change that.
	refusedPause = time.Minute
	// goodRound is how long a round must last for the pauses to start small again.
	goodRound = 30 * time.Second
	// callTimeout bounds one call, and the wait for a Welcome.
	callTimeout = 30 * time.Second
	// markPatience is how long a state waits for its number to be kept before it is acted on all the same.
	markPatience = 2 * time.Second
	// writePatience is how long the API server may take to keep a number.
	writePatience = 30 * time.Second
)

// Config is what a Client is made of.
type Config struct {
	// Store keeps the identity, Records the last desired state.
	Store   Store
	Records Records
	// Log defaults to slog.Default, Metrics to none.
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Accept is called with each desired state that is accepted, first with the one kept from before; never by two at
	// once. It must not block.
	Accept func(State)
	// Reached is called when a session was opened, if it is set. It must not block.
	Reached func()
	// Facts are what the cluster is, asked for at each connection.
	Facts func(context.Context) fleet.ClusterFacts
	// Unknown are the Apps that the spoke holds and the desired state does not name.
	Unknown func() []fleet.Key
	// Answer finds what a question asks for, to be sent as JSON; a fleet.ErrInvalid says that it is not known how.
	Answer func(context.Context, fleet.Ask) (any, error)

	// Hub is the address of the hub, host:port.
	Hub string
	// Token is the join token. It is used when the cluster is not enrolled, or no longer welcome; else it may be empty.
	Token string
	// Dialer replaces the network; nil: TCP.
	Dialer func(ctx context.Context, address string) (net.Conn, error)
}

// Client keeps the session with the hub. Report, Event, Forget and Fetch are safe for concurrent use.
type Client struct {
	Config
	outbox  *outbox
	metrics *metrics
	trouble *trouble
	keeper  *keeper
	// saveMark has the mark written to the Store.
	saveMark run.Wake

	mu       sync.Mutex
	identity Identity
	// renewed puts the certificate in place that the hub gave and that is not known to be kept; nil: there is none.
	renewed func(*Identity)
	replica *replica
	// working is the state that is acted on.
	working fleet.StateID
	// wantFull says that the next hello asks for the full set.
	wantFull bool
	// strange says that another than the hub answered at its address since it was reached last.
	strange bool
	// hub is the client of the round under way; nil: not connected.
	hub spokev1.SpokeServiceClient
}

// New returns a Client that does nothing until Run.
func New(config Config) (*Client, error) {
	var problems []error
	for name, missing := range map[string]bool{
		"Store": config.Store == nil, "Records": config.Records == nil, "Accept": config.Accept == nil,
		"Facts": config.Facts == nil, "Unknown": config.Unknown == nil, "Answer": config.Answer == nil, "Hub": config.Hub == "",
	} {
		if missing {
			problems = append(problems, errors.New("no "+name))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("session: %w: %w", fleet.ErrInvalid, err)
	}
	config.Log = cmp.Or(config.Log, slog.Default())
	return &Client{
		Config: config, outbox: newOutbox(time.Now()), metrics: newMetrics(config.Metrics),
		trouble: &trouble{log: config.Log}, keeper: &keeper{records: config.Records}, saveMark: run.NewWake(), replica: &replica{},
	}, nil
}

// Run takes up the desired state kept from before, enrols the cluster if need be, and keeps the session until ctx
// ends. It returns early, with a fleet.ErrTerminal, only when the cluster is not enrolled and cannot be.
func (c *Client) Run(ctx context.Context) error {
	mine, err := c.load(ctx)
	if err != nil {
		return err
	}
	if !mine.Enrolled() {
		if mine, err = c.enrol(ctx); err != nil {
			return err
		}
	}
	c.use(mine)
	c.checkToken(mine)
	c.restore(ctx)
	return run.All(ctx,
		run.Named{Name: "session", Task: c.rounds},
		run.Named{Name: "mark", Task: func(ctx context.Context) error {
			return run.Every(ctx, time.Hour, c.saveMark.C(), c.writeMark)
		}},
	)
}

// Report tells the hub the latest word on an Assignment. One that differs from the last only in ObservedAt is dropped.
func (c *Client) Report(report fleet.Report) { c.outbox.report(report) }

// Event tells the hub something that a person may want to know; its Number is set here.
func (c *Client) Event(event fleet.Event) { c.outbox.event(event) }

// Forget drops what was reported of an Assignment that has left the desired state.
func (c *Client) Forget(app fleet.Key) { c.outbox.forget(app) }

// load reads the identity, however long the API server takes.
func (c *Client) load(ctx context.Context) (Identity, error) {
	back := run.Backoff{Min: backoffMin, Max: backoffMax}
	for {
		mine, err := c.Store.Load(ctx)
		if err == nil || errors.Is(err, fleet.ErrInvalid) {
			return mine, err
		}
		c.trouble.warn("the identity cannot be read; trying on", err)
		if err := run.Sleep(ctx, back.Next()); err != nil {
			return Identity{}, err
		}
	}
}

// use makes an identity the current one.
func (c *Client) use(mine Identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if mine.ClusterID != c.identity.ClusterID { // the first, or another cluster: its states have nothing to do with these
		c.replica, c.working = &replica{cluster: mine.ClusterID, mark: mine.Mark}, fleet.StateID{}
	}
	c.replica.keys = mine.SigningKeys
	c.identity, c.renewed = mine, nil
}

// checkToken warns when the token is another hub's than the one the cluster belongs to: the cluster stays there.
func (c *Client) checkToken(mine Identity) {
	if c.Token == "" {
		return
	}
	token, err := identity.ParseJoinToken(c.Token)
	switch {
	case err != nil:
		c.Log.Warn("the join token is not understood; this cluster is enrolled, so it is not needed", telemetry.KeyErr, err)
	case token.Pin != mine.Pin:
		c.Log.Error("the join token is another hub's; this cluster stays with its own: to move it, delete the spoke's Secret and start again",
			"token", token.ID, "tokenHub", token.Pin, "hub", mine.Pin)
	}
}

// restore takes up the state kept on disk. Without one nothing happens to what runs, whatever it is.
func (c *Client) restore(ctx context.Context) {
	c.mu.Lock()
	mark := c.replica.mark
	c.mu.Unlock()
	saved, has := c.keeper.load()
	if !has {
		if !mark.IsZero() {
			c.Log.Warn("the desired state is not on disk: what this cluster runs is kept as it is, and drift is not corrected, until the hub is reached",
				telemetry.KeyState, mark)
		}
		return
	}
	c.mu.Lock()
	err := c.replica.restore(saved)
	c.mu.Unlock()
	if err != nil {
		c.Log.Warn("the desired state on disk is not used: what this cluster runs is kept as it is, and drift is not corrected, until the hub is reached",
			telemetry.KeyState, saved.ID, telemetry.KeyErr, err)
		return
	}
	c.Log.Info("going on from the desired state kept on disk", telemetry.KeyState, saved.ID, "assignments", len(saved.Items))
	c.accept(ctx, saved)
}

// accept has a state acted on that is on disk. Its number is kept before, where the volume's loss does not reach it, so
// that no lower one is accepted whatever happens next; an API server that does not answer holds it up for a moment only.
func (c *Client) accept(ctx context.Context, state State) {
	waiting, cancel := context.WithTimeout(ctx, markPatience)
	defer cancel()
	if err := c.storeMark(waiting); err != nil {
		c.saveMark.Set() // which says why, if it goes on
	}
	c.mu.Lock()
	c.working = state.ID
	c.mu.Unlock()
	c.Accept(state)
}

// rounds connects, again and again.
func (c *Client) rounds(ctx context.Context) error {
	back := run.Backoff{Min: backoffMin, Max: backoffMax}
	for {
		begun := time.Now()
		err := c.round(ctx)
		if ctx.Err() != nil {
			return nil
		}
		c.metrics.rounds.WithLabelValues(status.Code(err).String()).Inc()
		if time.Since(begun) >= goodRound {
			back.Reset()
		}
		pause := back.Next()
		switch {
		case errors.Is(err, errRenewed), errors.Is(err, fleet.ErrUnauthenticated): // the next round has, or gets, another certificate
		case errors.Is(err, fleet.ErrDenied):
			if c.enrolAnew(ctx, err) {
				continue
			}
			pause = run.Jitter(refusedPause, 0.5)
		default:
			c.trouble.warn("not connected to the hub; trying on", err)
		}
		if err := run.Sleep(ctx, pause); err != nil {
			return nil
		}
	}
}

// enrolAnew redeems the configured token when the hub refuses the identity, or the certificate has run out, and the
// token is a new one.
func (c *Client) enrolAnew(ctx context.Context, refusal error) (enrolled bool) {
	c.mu.Lock()
	mine := c.identity
	c.mu.Unlock()
	if !c.mayEnrolAnew(mine) {
		c.trouble.warn("the hub refuses this cluster; what it runs is kept as it is. To join it again, "+
			"start the spoke with a new join token (fleetctl cluster register NAME --rejoin)", refusal)
		return false
	}
	c.Log.Warn("the hub refuses this cluster; enrolling with the new join token", telemetry.KeyErr, refusal)
	mine, err := c.enrol(ctx)
	if err != nil {
		c.trouble.warn("the new join token is of no use", err)
		return false
	}
	c.use(mine)
	return true
}

// writeMark keeps the highest accepted (epoch, version), and tries again soon where that fails.
func (c *Client) writeMark(ctx context.Context) {
	writing, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	if err := c.storeMark(writing); err != nil && ctx.Err() == nil {
		c.trouble.warn("the state's number cannot be kept in the Secret; trying on", err)
		if run.Sleep(ctx, run.Jitter(time.Second, 0.5)) == nil {
			c.saveMark.Set()
		}
	}
}

func (c *Client) storeMark(ctx context.Context) error {
	c.mu.Lock()
	cluster, mark := c.identity.ClusterID, c.replica.mark
	c.mu.Unlock()
	_, err := c.Store.Update(ctx, func(i *Identity) {
		if i.ClusterID == cluster && mark.Compare(i.Mark) > 0 {
			i.Mark = mark
		}
	})
	return err
}

// dial returns a connection to the hub with that pin.
func (c *Client) dial(pin fleet.Digest, cert *tls.Certificate) (*grpc.ClientConn, error) {
	config := identity.PinnedClientTLS(pin, func() (*tls.Certificate, error) { return cert, nil })
	verify := config.VerifyConnection
	config.VerifyConnection = func(state tls.ConnectionState) error {
		err := verify(state)
		if errors.Is(err, identity.ErrPin) {
			c.stranger()
		}
		return err
	}
	return rpc.Dial(rpc.DialConfig{Address: c.Hub, UserAgent: "flotilla-spoke", Dialer: c.Dialer, TLS: config})
}

// stranger has people told, once the hub is reached again, that another answered at its address: the hub cannot know.
func (c *Client) stranger() {
	c.mu.Lock()
	told := c.strange
	c.strange = true
	c.mu.Unlock()
	if told {
		return
	}
	c.Event(fleet.Event{
		Warning: true, Reason: "AnotherHub", At: time.Now(),
		Message: "another server answered at the hub's address, " + c.Hub + ": its key is not the one that this cluster's pin names. " +
			"It was told nothing, and what the cluster runs was kept as it is; does the name, or a proxy, lead elsewhere?",
	})
}
