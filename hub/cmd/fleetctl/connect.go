package main

import (
	"cmp"
	"crypto/tls"
	"errors"
	"io/fs"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/config"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/rpc"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// target is a hub and what it takes to talk to it.
type target struct {
	address string
	// pin of the hub's CA; zero: the machine's roots decide.
	pin   fleet.Digest
	token string
}

// dialer opens a connection to a hub.
type dialer func(target) (*grpc.ClientConn, error)

// dialHub is the dialer of the real program.
func dialHub(t target) (*grpc.ClientConn, error) {
	config := rpc.DialConfig{Address: t.address, Token: t.token, UserAgent: "fleetctl"}
	if t.pin.IsZero() {
		config.TLS = &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}}
	} else {
		config.TLS = identity.PinnedClientTLS(t.pin, nil)
	}
	return rpc.Dial(config)
}

// hub is a connection to the admin API.
type hub struct {
	objects   adminv1.ObjectsServiceClient
	apps      adminv1.AppsServiceClient
	clusters  adminv1.ClustersServiceClient
	events    adminv1.EventsServiceClient
	prunes    adminv1.PrunesServiceClient
	asks      adminv1.QuestionsServiceClient
	admin     adminv1.HubServiceClient
	artifacts adminv1.ArtifactsServiceClient
	rollouts  adminv1.RolloutsServiceClient
	conn      *grpc.ClientConn
}

// connect returns the hub of the context. It connects when it is first used.
func (a *app) connect() (*hub, error) {
	t, err := a.target()
	if err != nil {
		return nil, err
	}
	conn, err := a.dial(t)
	if err != nil {
		return nil, &failure{code: exitUsage, what: "cannot use the hub's address", why: err.Error(), next: "--hub HOST:PORT"}
	}
	a.conn = conn
	noted := noting{conn, &a.asked}
	return &hub{
		objects:   adminv1.NewObjectsServiceClient(noted),
		apps:      adminv1.NewAppsServiceClient(noted),
		clusters:  adminv1.NewClustersServiceClient(noted),
		events:    adminv1.NewEventsServiceClient(noted),
		prunes:    adminv1.NewPrunesServiceClient(noted),
		asks:      adminv1.NewQuestionsServiceClient(noted),
		admin:     adminv1.NewHubServiceClient(noted),
		artifacts: adminv1.NewArtifactsServiceClient(noted),
		rollouts:  adminv1.NewRolloutsServiceClient(noted),
		conn:      conn,
	}, nil
}

// close ends the connection.
func (h *hub) close() { _ = h.conn.Close() } // nothing is left to lose

// neverReached reports whether the connection that was tried last did not come about.
func (a *app) neverReached() bool {
	if a.conn == nil {
		return false
	}
	state := a.conn.GetState()
	return state == connectivity.Connecting || state == connectivity.TransientFailure
}

// address is the hub's, as settings have it.
func (a *app) address() string { return cmp.Or(a.flags.hub, a.context.Hub) }

func (a *app) target() (target, error) {
	if err := a.settings(); err != nil {
		return target{}, err
	}
	t := target{address: a.address()}
	if t.address == "" {
		return target{}, &failure{
			code: exitUsage, what: "no hub is named", why: "there is no current context in " + a.configPath,
			next: "fleetctl config set-context NAME --hub HOST:PORT --ca-pin PIN --token-stdin, or --hub",
		}
	}
	pin, err := parsePin(cmp.Or(a.flags.caPin, a.context.CAPin))
	if err != nil {
		return target{}, err
	}
	t.pin = pin
	t.token, err = a.token()
	return t, err
}

// parsePin reads 64 hex digits, with or without "sha256:" before them.
func parsePin(text string) (fleet.Digest, error) {
	if text == "" {
		return fleet.Digest{}, nil
	}
	pin, err := fleet.ParseDigest("sha256:" + strings.ToLower(strings.TrimPrefix(text, "sha256:")))
	if err != nil || pin.IsZero() {
		return fleet.Digest{}, &failure{
			code: exitUsage, what: "the CA pin is not 64 hex digits", next: "copy " + whereThePinIs,
		}
	}
	return pin, nil
}

// token is what proves who is calling: the file that is named, else the context's.
func (a *app) token() (string, error) {
	path := a.flags.tokenFile
	if path == "" && a.context.Name != "" {
		path = config.TokenPath(a.configPath, a.context.Name)
		if err := config.CheckTokenMode(path); errors.Is(err, config.ErrTokenReadable) {
			return "", &failure{code: exitDenied, what: "a token is not kept safe", why: err.Error(), next: "chmod 600 " + path}
		}
	}
	missing := &failure{code: exitDenied, what: "there is no token for hub " + a.address(), next: a.tokenAdvice()}
	if path == "" {
		return "", missing
	}
	token, err := config.ReadToken(path)
	if errors.Is(err, fs.ErrNotExist) {
		missing.why = path + " does not exist"
		return "", missing
	}
	if err != nil {
		return "", &failure{code: exitDenied, what: "cannot read the token", why: err.Error(), next: a.tokenAdvice()}
	}
	return token, nil
}

// pinOrigin says where the pin that did not fit came from.
func (a *app) pinOrigin() string {
	switch {
	case a.flags.caPin != "":
		return "--ca-pin names"
	case a.context.CAPin != "":
		return "context " + a.context.Name + " pins"
	}
	return "this machine trusts, and no --ca-pin is given"
}
