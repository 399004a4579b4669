package lab

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
)

// placeSpoke starts a cluster's spoke, serving metrics on a port that it finds.
func (f *Fleet) placeSpoke(ctx context.Context, m *Member) error {
	for attempt := 0; ; attempt++ {
		port, err := freePort()
		if err != nil {
			return err
		}
		m.Spoke = f.spokeProgram(m, loopback(port))
		err = m.Spoke.Start(ctx)
		if err == nil || attempt == 4 || !strings.Contains(err.Error(), "address already in use") {
			return err
		}
	}
}

func (f *Fleet) spokeProgram(m *Member, address string) *Program {
	args := []string{
		"run", "--hub", cmp.Or(m.by, f.hub.spoke), "--token", m.Token, "--kubeconfig", m.Kubeconfig(),
		"--data-dir", f.file(filepath.Join("spokes", m.name)), "--http-listen", address,
	}
	return &Program{
		name: "spoke " + m.name,
		path: filepath.Join(f.config.Binaries, spokeBinary),
		args: append(args, f.config.SpokeArgs...),
		log:  f.file(filepath.Join("log", "spoke-"+m.name+".log")),
		http: address,
		// Alive is ready: a spoke acts from its cache when the hub is away.
		ready: func(ctx context.Context, _ int) error {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
			if err != nil {
				return err
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return err
			}
			if err := response.Body.Close(); err != nil {
				return err
			}
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("GET /healthz: %s", response.Status)
			}
			return nil
		},
	}
}
