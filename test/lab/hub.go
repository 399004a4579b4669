package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// hubAddresses are chosen before the hub's first start and stay.
type hubAddresses struct{ spoke, admin, hook, http string }

// hubFile is what the hub's ready file holds.
type hubFile struct {
	CAPin string `json:"caPin"`
	PID   int    `json:"pid"`
}

// startHub starts the database and the hub, and has fleetctl know it.
func (f *Fleet) startHub(ctx context.Context) error {
	env := []string{}
	if !f.config.PrivatePostgres {
		database := PostgresConfig{Fsync: f.config.Fsync}
		if f.workspace == nil {
			database.Dir = f.file("postgres")
		}
		var err error
		if f.Postgres, err = StartPostgres(ctx, database); err != nil {
			return err
		}
		url, err := f.Postgres.CreateDatabase(ctx, hubDatabase)
		if err != nil {
			return err
		}
		env = append(env, "FLOTILLA_DATABASE_URL="+url)
	}
	if err := f.placeHub(ctx, env); err != nil {
		return err
	}
	if err := f.Login(ctx); err != nil {
		return err
	}
	f.say("hub: ready for spokes at %s, for fleetctl at %s", f.hub.spoke, f.hub.admin)
	return nil
}

// Login has fleetctl use the hub's newest admin token: a hub on an emptied database makes another one.
func (f *Fleet) Login(ctx context.Context) error {
	ready, err := readHubFile(readyFileIn(f.file("hub")))
	if err != nil {
		return err
	}
	return f.login(ctx, f.hub.admin, ready)
}

func (f *Fleet) login(ctx context.Context, admin string, ready hubFile) error {
	context := []string{"config", "set-context", f.config.Name,
		"--hub", admin, "--ca-pin", ready.CAPin, "--token-file", f.adminTokenFile()}
	if f.config.Namespace != "" {
		context = append(context, "--namespace", f.config.Namespace)
	}
	return f.Fleetctl(ctx, context...).Err()
}

// placeHub starts the hub on ports that it finds.
func (f *Fleet) placeHub(ctx context.Context, env []string) error {
	for attempt := 0; ; attempt++ {
		var ports [4]string
		for i := range ports {
			port, err := freePort()
			if err != nil {
				return err
			}
			ports[i] = loopback(port)
		}
		f.hub = hubAddresses{spoke: ports[0], admin: ports[1], hook: ports[2], http: ports[3]}
		f.Hub = f.hubProgram(env)
		err := f.Hub.Start(ctx)
		if err == nil || attempt == 4 || !strings.Contains(err.Error(), "address already in use") {
			return err
		}
	}
}

func (f *Fleet) hubProgram(env []string) *Program { return f.hubProgramAt(env, f.file("hub"), f.hub) }

func (f *Fleet) hubProgramAt(env []string, dir string, at hubAddresses) *Program {
	ready := readyFileIn(dir)
	args := []string{
		"serve", "--data-dir", dir,
		"--spoke-listen", at.spoke, "--admin-listen", at.admin, "--hook-listen", at.hook, "--http-listen", at.http,
		"--ready-file", ready, "--admin-token-file", f.adminTokenFile(),
	}
	return &Program{
		name: "hub",
		path: filepath.Join(f.config.Binaries, hubBinary),
		args: append(args, f.config.HubArgs...),
		env:  env,
		log:  f.file("log/hub.log"),
		http: at.http,
		prepare: func() error {
			if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			return nil
		},
		ready: func(_ context.Context, pid int) error {
			written, err := readHubFile(ready)
			if err == nil && written.PID != pid {
				err = fmt.Errorf("%s is of process %d, not %d", ready, written.PID, pid)
			}
			return err
		},
	}
}

// PrivatePostgresPID is the process id of the Postgres that the hub started for itself, by Postgres' own word.
func (f *Fleet) PrivatePostgresPID() (int, error) {
	content, err := os.ReadFile(f.file("hub/postgres/data/postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(content), "\n")
	return strconv.Atoi(first)
}

// AdminAccess is what a client of the hub's admin API needs: its address, the pin of its authority and the administrator's
// token. It is for requests that fleetctl would not make.
func (f *Fleet) AdminAccess() (address, caPin, token string, err error) {
	ready, err := readHubFile(readyFileIn(f.file("hub")))
	if err != nil {
		return "", "", "", err
	}
	content, err := os.ReadFile(f.adminTokenFile())
	return f.hub.admin, ready.CAPin, strings.TrimSpace(string(content)), err
}

// hubDatabase is the database of the hub in the fleet's Postgres.
const hubDatabase = "flotilla"

// DatabaseURL names the hub's database, and KeyFile holds its key. They are for what no API tells; a fleet with
// PrivatePostgres has none to show.
func (f *Fleet) DatabaseURL() string { return f.Postgres.server.URL(hubDatabase) }

// KeyFile is the file with the hub's key.
func (f *Fleet) KeyFile() string { return f.file("hub/hub.key") }

// SpokeAddress is where the hub takes spokes.
func (f *Fleet) SpokeAddress() string { return f.hub.spoke }

// HubURL is where the hub takes webhooks.
func (f *Fleet) HubURL() string { return "http://" + f.hub.hook }

func readyFileIn(dir string) string { return filepath.Join(dir, "ready.json") }

func (f *Fleet) adminTokenFile() string { return f.file("hub/admin-token") }

func readHubFile(path string) (hubFile, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return hubFile{}, err
	}
	var ready hubFile
	return ready, json.Unmarshal(content, &ready)
}
