package lab

import (
	"context"
	"errors"
	"os"
	"strings"
)

// SecondHub starts another replica of the hub: on the fleet's database, with its key, a volume of its own and addresses
// of its own. It is not for concurrent use.
func (f *Fleet) SecondHub(ctx context.Context) (*Replica, error) {
	if f.Postgres == nil {
		return nil, errors.New("replicas need a database that is not the hub's own")
	}
	r := &Replica{fleet: f, dir: f.file("hub-second")}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, err
	}
	for attempt := 0; ; attempt++ {
		for _, address := range []*string{&r.addresses.spoke, &r.addresses.admin, &r.addresses.hook, &r.addresses.http} {
			port, err := freePort()
			if err != nil {
				return nil, err
			}
			*address = loopback(port)
		}
		r.Program = f.hubProgramAt(f.Hub.env, r.dir, r.addresses)
		r.name, r.log = "hub (second)", f.file("log/hub-second.log")
		r.args = append(r.args, "--key-file", f.file("hub/hub.key"))
		err := r.Start(ctx)
		if err == nil {
			f.rivals = append(f.rivals, r.Program)
		}
		if err == nil || attempt == 4 || !strings.Contains(err.Error(), "address already in use") {
			return r, err
		}
	}
}

// Replica is a hub beside the fleet's first one.
type Replica struct {
	*Program
	fleet     *Fleet
	dir       string
	addresses hubAddresses
}

// HubURL is where the replica takes webhooks, as Fleet.HubURL is where the first hub does.
func (r *Replica) HubURL() string { return "http://" + r.addresses.hook }

// Login has fleetctl ask the replica from now on, with the token that the first hub made.
func (r *Replica) Login(ctx context.Context) error {
	ready, err := readHubFile(readyFileIn(r.dir))
	if err != nil {
		return err
	}
	return r.fleet.login(ctx, r.addresses.admin, ready)
}
