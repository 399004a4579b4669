package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"flotilla.dev/flotilla/pkg/identity"
)

// listeners are what the hub is reached at. They are opened before anything else, so that a taken port is told at once,
// and served when everything stands.
type listeners struct{ spoke, admin, http net.Listener }

func listen(ctx context.Context, config Config) (*listeners, error) {
	var l listeners
	var errs []error
	for _, open := range []struct {
		into *net.Listener
		flag string
		at   string
	}{{&l.spoke, "--spoke-listen", config.SpokeListen}, {&l.admin, "--admin-listen", config.AdminListen}, {&l.http, "--http-listen", config.HTTPListen}} {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", open.at)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", open.flag, err))
			continue
		}
		*open.into = listener
	}
	if err := errors.Join(errs...); err != nil {
		l.close()
		return nil, err
	}
	return &l, nil
}

func (l *listeners) close() {
	for _, listener := range []net.Listener{l.spoke, l.admin, l.http} {
		if listener != nil {
			_ = listener.Close() // closed already when it was served
		}
	}
}

func (l *listeners) spokeAddress(config Config) string {
	if config.SpokeAddress != "" {
		return config.SpokeAddress
	}
	return l.spoke.Addr().String()
}

// readyFile is what programs that started the hub read.
type readyFile struct {
	Spoke string `json:"spoke"`
	Admin string `json:"admin"`
	HTTP  string `json:"http"`
	// CAPin is the SHA-256 of the CA's public key.
	CAPin string `json:"caPin"`
	PID   int    `json:"pid"`
}

// announce writes the ready file, whole or not at all.
func (l *listeners) announce(config Config, root identity.Root) error {
	if config.ReadyFile == "" {
		return nil
	}
	data, err := json.Marshal(readyFile{
		Spoke: l.spoke.Addr().String(), Admin: l.admin.Addr().String(), HTTP: l.http.Addr().String(),
		CAPin: root.Authority().Pin().String(), PID: os.Getpid(),
	})
	if err != nil {
		return err
	}
	next := config.ReadyFile + ".new"
	if err := os.WriteFile(next, data, 0o644); err != nil {
		return fmt.Errorf("write the ready file: %w", err)
	}
	return os.Rename(next, config.ReadyFile)
}
