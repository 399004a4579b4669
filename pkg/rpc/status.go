package rpc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/fleet"
)

// domain and the reasons tell apart, in an ErrorInfo, sentinels that share a code.
const domain = "flotilla.dev"

// sentinels, in the order in which they win where an error wraps several.
var sentinels = []struct {
	err    error
	code   codes.Code
	reason string
}{
	{fleet.ErrNotFound, codes.NotFound, "NOT_FOUND"},
	{fleet.ErrExists, codes.AlreadyExists, "EXISTS"},
	{fleet.ErrInvalid, codes.InvalidArgument, "INVALID"},
	{fleet.ErrUnauthenticated, codes.Unauthenticated, "UNAUTHENTICATED"},
	{fleet.ErrDenied, codes.PermissionDenied, "DENIED"},
	{fleet.ErrConflict, codes.FailedPrecondition, "CONFLICT"},
	{fleet.ErrTerminal, codes.FailedPrecondition, "TERMINAL"},
	{fleet.ErrUnavailable, codes.Unavailable, "UNAVAILABLE"},
	{context.Canceled, codes.Canceled, ""},
	{context.DeadlineExceeded, codes.DeadlineExceeded, ""},
}

// Status turns err into what a client may see: a sentinel of package fleet or a context error becomes its code, with
// err's text; what is a status already stays as it is. Anything else is Internal and says no more than an id, under
// which the server's interceptors log the cause. Nil stays nil.
func Status(err error) error {
	if err == nil {
		return nil
	}
	if hidden := (*internalError)(nil); errors.As(err, &hidden) {
		return hidden
	}
	if known := (interface{ GRPCStatus() *status.Status })(nil); errors.As(err, &known) && known.GRPCStatus().Code() != codes.Unknown {
		return known.GRPCStatus().Err()
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return withReason(status.New(s.code, err.Error()), s.reason)
		}
	}
	return newInternalError(err)
}

func withReason(s *status.Status, reason string) error {
	if reason == "" {
		return s.Err()
	}
	detailed, err := s.WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: domain})
	if err != nil {
		return s.Err()
	}
	return detailed.Err()
}

// internalError shows its id to the client and its cause to the log.
type internalError struct {
	id    string
	cause error
}

func newInternalError(cause error) *internalError {
	raw := make([]byte, 6)
	_, _ = rand.Read(raw) // never fails
	return &internalError{id: hex.EncodeToString(raw), cause: cause}
}

func (e *internalError) Error() string { return e.GRPCStatus().Message() }

func (e *internalError) GRPCStatus() *status.Status {
	return status.New(codes.Internal, "internal error "+e.id+" (the hub's log has the cause under this id)")
}

// FromStatus turns a status that a call returned back into the error it stands for: errors.Is finds the sentinel or the
// context error, the text is the server's message, and the status can still be had with status.FromError. Errors that
// are no status, and nil, stay as they are.
func FromStatus(err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	return &remoteError{status: s, sentinel: sentinelOf(s)}
}

func sentinelOf(s *status.Status) error {
	reason := ""
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == domain {
			reason = info.GetReason()
		}
	}
	for _, known := range sentinels {
		if known.code == s.Code() && (reason == "" || reason == known.reason) {
			return known.err
		}
	}
	return nil
}

type remoteError struct {
	status   *status.Status
	sentinel error
}

func (e *remoteError) Error() string {
	if e.sentinel == nil {
		return e.status.Code().String() + ": " + e.status.Message()
	}
	return e.status.Message()
}

func (e *remoteError) Unwrap() error              { return e.sentinel }
func (e *remoteError) GRPCStatus() *status.Status { return e.status }
