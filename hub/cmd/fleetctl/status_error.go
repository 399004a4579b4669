package main

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/resource"
)

// explainStatus is the one place where a gRPC status becomes an exit code and words for a person.
func (a *app) explainStatus(doing string, s *status.Status) *failure {
	f := &failure{what: orWhat(doing, s.Message())}
	switch s.Code() {
	case codes.InvalidArgument:
		f.code, f.why = exitUsage, "the hub refuses it as it is"
		f.next = "mend what was given and run it again"
	case codes.NotFound:
		f.code, f.why = exitNotFound, "the hub has no such object, or does not show it to you"
		f.next = "fleetctl get with -A lists what there is; -n names another namespace"
		if strings.Contains(s.Message(), resource.Cluster.Name+"/") {
			f.next = "fleetctl get clusters"
		}
	case codes.Unauthenticated:
		f.code, f.why = exitDenied, s.Message()
		f.what = orWhat(doing, "the hub does not know the token")
		f.next = a.tokenAdvice()
	case codes.PermissionDenied:
		f.code, f.why = exitDenied, "the token that is used does not have this permission"
		f.next = "ask whoever runs the hub for it, or use another --context"
	case codes.Unavailable:
		if !fromHub(s) {
			return a.explainUnreachable(s.Message())
		}
		f.code, f.why = exitUnreachable, "the hub runs; something that it needs does not answer"
		f.what = orWhat(doing, "hub "+a.address()+" answers: "+s.Message())
		f.next = "again when its database is back"
	case codes.DeadlineExceeded:
		if a.neverReached() {
			return a.explainUnreachable("no connection came about in time")
		}
		f.code, f.why = exitTimeout, "the hub was reached and has not finished"
		f.what = orWhat(doing, "the hub did not answer in time")
		f.next = "a longer --timeout"
	case codes.FailedPrecondition, codes.AlreadyExists, codes.Aborted, codes.OutOfRange:
		f.code, f.why = exitPrecondition, "it does not fit what the hub has now"
		f.next = "look at it again with fleetctl get or describe, then decide anew"
	case codes.Unimplemented:
		f.code, f.why = exitPrecondition, "the hub is older than this fleetctl, or the address is not that of its admin API"
		f.next = "fleetctl version"
	case codes.Canceled:
		f.code = exitInterrupted
	case codes.Unknown, codes.Internal:
		if looksForeign(s.Message()) {
			return a.explainUnreachable(s.Message())
		}
		f.code, f.why = exitGeneral, "the hub could not do it, for a reason of its own"
		f.next = "the hub's log tells more"
	case codes.ResourceExhausted:
		f.code, f.why = exitGeneral, "there is a limit to what the hub takes or gives at once"
		f.next = "less at once, or again later"
	default:
		f.code = exitGeneral
	}
	return f
}

// hubDomain is that of the ErrorInfo in which a hub only repeats the code.
const hubDomain = "flotilla.dev"

// fromHub reports whether a hub made the status, and not the way to one.
func fromHub(s *status.Status) bool {
	return slices.ContainsFunc(s.Details(), func(detail any) bool {
		info, ok := detail.(*errdetails.ErrorInfo)
		return ok && info.GetDomain() == hubDomain
	})
}

// whereThePinIs completes advice on a pin.
const whereThePinIs = "the one that the hub logs as caPin once it is ready"

func (a *app) tokenAdvice() string {
	if a.context.Name == "" {
		return "--token-file FILE with a token of this hub"
	}
	return fmt.Sprintf("fleetctl config set-context %s --token-stdin, with a token of this hub", a.context.Name)
}

// explainUnreachable reads the reason out of what the transport says: it has no other form.
func (a *app) explainUnreachable(message string) *failure {
	address := a.address()
	f := &failure{code: exitUnreachable, what: "cannot reach hub " + address}
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(message, part) {
				return true
			}
		}
		return false
	}
	switch {
	case has("certificate signed by unknown authority", "that the pin names"):
		f.what = "hub " + address + " shows a certificate that cannot be trusted"
		f.why = "it does not come from the CA that " + a.pinOrigin() + ": this is another hub, or something between you and it"
		f.next = "compare the pin with " + whereThePinIs + "; if the hub is new: fleetctl config set-context NAME --ca-pin PIN"
	case has("certificate is valid for", "not valid for any names", "cannot validate certificate"):
		f.what = "hub " + address + " shows a certificate for another name"
		f.why = reason(message)
		f.next = "--ca-pin with " + whereThePinIs + "; its name is not looked at then"
	case has("certificate has expired", "not yet valid", "not valid at this machine's time"):
		f.what = "hub " + address + " shows a certificate that is not valid now"
		f.why = reason(message)
		f.next = "compare the clocks of this machine and the hub's"
	case has("certificate required", "bad certificate"):
		f.why = "that port wants a client certificate: it is the one for spokes"
		f.next = "--hub with the port of --admin-listen (9443 unless set)"
	case has("first record does not look like a TLS handshake"), looksForeign(message):
		f.why = "what answers there is no Flotilla hub, or a proxy that speaks HTTP/1.1 only stands in front of it"
		f.next = "--hub with the hub's own address, or let the proxy pass HTTP/2 through"
	case has("connection refused"):
		f.why = "nothing listens at that address: connection refused"
		f.next = "see that the hub runs, and compare the address: fleetctl config view"
	case has("no such host", "name resolver", "produced zero addresses"):
		f.why = "its name cannot be resolved"
		f.next = "compare the address: fleetctl config view"
	default:
		f.why = reason(message)
		f.next = "see that the hub runs and that a network path leads to it"
	}
	return f
}

func looksForeign(message string) bool {
	for _, part := range []string{"HTTP/1.", "unexpected HTTP status code", "unexpected content-type", "malformed header", "no application protocol"} {
		if strings.Contains(message, part) {
			return true
		}
	}
	return false
}

// reason is the innermost part of what the transport says.
func reason(message string) string {
	for _, mark := range []string{"authentication handshake failed: ", "Error while dialing: ", "desc = "} {
		if i := strings.LastIndex(message, mark); i >= 0 {
			message = message[i+len(mark):]
			break
		}
	}
	return strings.Trim(message, `"`)
}
