package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// Connect runs one session of the caller's cluster.
func (s *Server) Connect(req *spokev1.ConnectRequest, stream grpc.ServerStreamingServer[spokev1.ConnectResponse]) error {
	ctx := stream.Context()
	if req.GetProtocol() < Protocol || req.GetProtocolMin() > Protocol {
		return status.Errorf(codes.FailedPrecondition, "the spoke speaks protocol %d to %d and this hub %d: bring their versions within one minor version of each other",
			req.GetProtocolMin(), req.GetProtocol(), Protocol)
	}
	if err := s.admit.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%w: more spokes connect at once than are let in before the call's deadline", fleet.ErrUnavailable)
	}
	who := callerOf(ctx)
	if !who.known {
		if err := s.adopt(ctx, who, req.GetClusterName()); err != nil {
			return err
		}
	}
	held, err := stateID(req.GetState())
	if err != nil {
		return err
	}
	wake, stop := s.Watch(who.cluster)
	defer stop()
	opened, err := s.Store.OpenSession(ctx, who.cluster, held, factsOf(req.GetFacts()))
	if err != nil {
		return err
	}
	opened.Serial = who.certificate.Serial
	session := &session{server: s, Session: opened, stream: stream, wake: wake, held: held, expires: who.expires,
		log: s.Log.With("cluster", req.GetClusterName(), "session", opened.Number)}
	s.metrics.sessions.Inc()
	defer s.metrics.sessions.Dec()
	defer session.close(ctx)
	return session.run(ctx)
}

// adopt makes a Cluster of a spoke whose certificate is good and which the database does not know.
func (s *Server) adopt(ctx context.Context, who caller, name string) error {
	if name == "" {
		name = "cluster"
	}
	s.Log.Warn("a spoke of this hub is missing in the database: taking it in again", "cluster", name)
	if err := s.Store.AdoptCluster(ctx, who.cluster, name); err != nil {
		return err
	}
	return s.Store.Admit(ctx, who.cluster, who.certificate)
}

// session is one connection round of a spoke.
type session struct {
	fleet.Session
	server *Server
	stream grpc.ServerStreamingServer[spokev1.ConnectResponse]
	wake   run.Wake
	log    *slog.Logger
	// expires is when the certificate runs out.
	expires time.Time

	// held is what the spoke had when it came.
	held fleet.StateID
	// sent is the state sent last, with the digests of its Assignments; nil digests: none was sent yet.
	sent    fleet.StateID
	digests map[string]fleet.Digest
}

func (s *session) run(ctx context.Context) error {
	s.log.Info("spoke connected", "state", s.held.String())
	if s.SafeMode != "" {
		s.log.Error("safe mode: nothing is sent to this cluster until `fleetctl hub recover`", "reason", s.SafeMode)
	}
	if err := s.welcome(ctx); err != nil {
		return err
	}
	heartbeat := time.NewTicker(s.server.Heartbeat)
	defer heartbeat.Stop()
	expired := time.NewTimer(time.Until(s.expires))
	defer expired.Stop()
	for {
		select {
		case <-heartbeat.C: // one that is due comes before a step, which may take as long as a period
			if err := s.beat(); err != nil {
				return err
			}
		default:
		}
		if err := s.step(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.server.stopping:
			return status.Error(codes.Unavailable, "the hub is stopping")
		case <-expired.C:
			return errExpired(s.expires)
		case <-s.wake:
		case <-heartbeat.C:
			if err := s.beat(); err != nil {
				return err
			}
		}
	}
}

func (s *session) beat() error {
	return s.stream.Send(&spokev1.ConnectResponse{Message: &spokev1.ConnectResponse_Heartbeat{Heartbeat: &spokev1.Heartbeat{}}})
}

// welcome opens the session, saying whether the spoke holds the desired state already.
func (s *session) welcome(ctx context.Context) error {
	desired, id, safeMode, err := s.server.Store.DesiredState(ctx, s.Session, fleet.StateID{})
	if err != nil {
		return err
	}
	unchanged := safeMode == "" && id == s.held
	if unchanged {
		s.sent, s.digests = id, desired.Digests()
	}
	return s.stream.Send(&spokev1.ConnectResponse{Message: &spokev1.ConnectResponse_Welcome{Welcome: &spokev1.Welcome{
		Session: s.Number, HeartbeatPeriod: durationpb.New(s.server.Heartbeat), Protocol: Protocol,
		SafeMode: safeMode != "", Unchanged: unchanged,
	}}})
}

// step sends what is new. A database that does not answer, within a period, ends no session: the spoke keeps what it
// has.
func (s *session) step(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, s.server.Heartbeat)
	defer cancel()
	desired, id, safeMode, err := s.server.Store.DesiredState(asking, s.Session, s.sent)
	switch {
	case errors.Is(err, fleet.ErrConflict):
		return status.Error(codes.Aborted, "a newer session of this cluster is open, its certificate was replaced, or it was deleted")
	case err != nil && ctx.Err() == nil:
		s.log.Warn("state not read", "err", err)
		return nil
	case err != nil:
		return err
	case safeMode == "" && id != s.sent:
		if err := s.send(desired, id); err != nil {
			return err
		}
	}
	return s.ask(asking)
}

// ask sends the questions that wait for this cluster.
func (s *session) ask(ctx context.Context) error {
	questions, err := s.server.Store.TakeQuestions(ctx, s.Cluster)
	if err != nil {
		s.log.Warn("questions not read", "err", err)
		return nil
	}
	for _, q := range questions {
		question, err := questionToWire(q)
		if err != nil {
			s.log.Warn("a question is not sent", "err", err)
			if err := s.server.Store.StoreAnswer(ctx, s.Cluster, q.ID, nil, err.Error()); err != nil {
				s.log.Warn("nor is that told to who asked", "err", err)
			}
			continue
		}
		if err := s.stream.Send(&spokev1.ConnectResponse{Message: &spokev1.ConnectResponse_Question{Question: question}}); err != nil {
			return err
		}
	}
	return nil
}

// closeTimeout bounds the last word on a session.
const closeTimeout = 5 * time.Second

func (s *session) close(ctx context.Context) {
	s.log.Info("spoke disconnected")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := s.server.Store.CloseSession(ctx, s.Session); err != nil {
		s.log.Warn("session not closed: it will be found silent", "err", err)
	}
}

func (s *session) clusterUUID() (uuid.UUID, error) {
	id, err := uuid.Parse(s.Cluster)
	if err != nil {
		return id, fmt.Errorf("cluster %q: %w", s.Cluster, err)
	}
	return id, nil
}
