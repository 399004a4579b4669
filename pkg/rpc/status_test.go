package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/rpc"
)

func TestSentinelsCrossTheWireWithTheirText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sentinel error
		code     codes.Code
	}{
		{fleet.ErrNotFound, codes.NotFound},
		{fleet.ErrExists, codes.AlreadyExists},
		{fleet.ErrInvalid, codes.InvalidArgument},
		{fleet.ErrUnauthenticated, codes.Unauthenticated},
		{fleet.ErrDenied, codes.PermissionDenied},
		{fleet.ErrConflict, codes.FailedPrecondition},
		{fleet.ErrTerminal, codes.FailedPrecondition},
		{context.Canceled, codes.Canceled},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
	} {
		sent := rpc.Status(fmt.Errorf("get ks/app: %w", c.sentinel))
		if got := status.Code(sent); got != c.code {
			t.Errorf("%v: code %s, want %s", c.sentinel, got, c.code)
		}
		got := rpc.FromStatus(sent)
		if !errors.Is(got, c.sentinel) || got.Error() != "get ks/app: "+c.sentinel.Error() {
			t.Errorf("%v came back as %v", c.sentinel, got)
		}
		if status.Code(got) != c.code {
			t.Errorf("%v: the code is lost", c.sentinel)
		}
		if c.sentinel == fleet.ErrTerminal && errors.Is(got, fleet.ErrConflict) {
			t.Error("a terminal error came back as a conflict too")
		}
	}
}

func TestOtherErrorsShowAnIDAndNothingElse(t *testing.T) {
	t.Parallel()
	first, second := rpc.Status(errors.New("pq: password of 10.0.0.7")), rpc.Status(errors.New("pq"))
	if status.Code(first) != codes.Internal || strings.Contains(first.Error(), "pq") || first.Error() == second.Error() {
		t.Errorf("Status = %v and %v", first, second)
	}
	if again := rpc.Status(fmt.Errorf("outer: %w", first)); again.Error() != first.Error() {
		t.Errorf("mapped twice, %v became %v", first, again)
	}
}

func TestStatusesStayAsTheyAre(t *testing.T) {
	t.Parallel()
	err := status.Error(codes.ResourceExhausted, "slow down")
	if got := rpc.Status(fmt.Errorf("connect: %w", err)); status.Code(got) != codes.ResourceExhausted || status.Convert(got).Message() != "slow down" {
		t.Errorf("Status = %v, want %v", got, err)
	}
	if got := rpc.FromStatus(err); status.Code(got) != codes.ResourceExhausted || !strings.Contains(got.Error(), "slow down") {
		t.Errorf("FromStatus = %v", got)
	}
	if rpc.Status(nil) != nil || rpc.FromStatus(nil) != nil {
		t.Error("nil is an error")
	}
	plain := errors.New("plain")
	if got := rpc.FromStatus(plain); got != plain {
		t.Errorf("FromStatus = %v, want the same error", got)
	}
}
