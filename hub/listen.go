package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"flotilla.dev/flotilla/pkg/disk"
	"flotilla.dev/flotilla/pkg/identity"
)

// listeners are what the hub is reached at. They are opened before anything else, so that a taken port is told at once,
// and served when everything stands.
type listeners struct{ spoke, admin, hook, http net.Listener }

func listen(ctx context.Context, config Config) (*listeners, error) {
	var l listeners
	var errs []error
	for _, open := range []struct {
		into *net.Listener
		flag string
		at   string
	}{
		{&l.spoke, "--spoke-listen", config.SpokeListen}, {&l.admin, "--admin-listen", config.AdminListen},
		{&l.hook, "--hook-listen", config.HookListen}, {&l.http, "--http-listen", config.HTTPListen},
	} {
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
	for _, listener := range []net.Listener{l.spoke, l.admin, l.hook, l.http} {
		if listener != nil {
			_ = listener.Close() // closed already when it was served
		}
	}
}

// unknownHost stands in join commands for what nobody has told the hub. It is no name that resolves.
const unknownHost = "REPLACE_WITH_HUB_HOST"

// spokeAddress is where spokes reach the hub, for join commands; known is false when whoever uses one has to fill in the
// host.
func (l *listeners) spokeAddress(config Config) (address string, known bool) {
	if config.SpokeAddress != "" {
		return config.SpokeAddress, true
	}
	host, port, err := net.SplitHostPort(l.spoke.Addr().String())
	if ip, ipErr := netip.ParseAddr(host); err != nil || ipErr != nil || !ip.IsUnspecified() {
		return l.spoke.Addr().String(), true
	}
	for _, host := range config.Hosts {
		if isElsewhere(host) {
			return net.JoinHostPort(host, port), true
		}
	}
	return net.JoinHostPort(unknownHost, port), false
}

// isElsewhere reports whether a host of a certificate is one that other machines can dial.
func isElsewhere(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return !ip.IsLoopback() && !ip.IsUnspecified()
	}
	return host != "localhost" && !strings.Contains(host, "*")
}

// readyFile is what programs that started the hub read.
type readyFile struct {
	Spoke string `json:"spoke"`
	Admin string `json:"admin"`
	Hook  string `json:"hook"`
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
		Spoke: l.spoke.Addr().String(), Admin: l.admin.Addr().String(), Hook: l.hook.Addr().String(), HTTP: l.http.Addr().String(),
		CAPin: root.Authority().Pin().String(), PID: os.Getpid(),
	})
	if err != nil {
		return err
	}
	if err := disk.Replace(config.ReadyFile, data, 0o644); err != nil {
		return fmt.Errorf("write the ready file: %w", err)
	}
	return nil
}
