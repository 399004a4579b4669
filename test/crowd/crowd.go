package crowd

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/rpc"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
	"flotilla.dev/flotilla/test/lab"
)

// Cluster is one to be.
type Cluster struct {
	Name   string
	Labels map[string]string
}

// Crowd is clusters that joined a fleet.
type Crowd struct {
	Guests []*Guest

	leave context.CancelFunc
	there sync.WaitGroup

	mu   sync.Mutex
	errs []error
}

// registering is how many clusters are registered at the same time.
const registering = 8

// Join registers clusters and has each keep a session with the hub until Leave. It returns when all are connected. What
// was begun is the caller's to end, with an error too.
func Join(ctx context.Context, f *lab.Fleet, clusters []Cluster) (*Crowd, error) {
	staying, leave := context.WithCancel(context.WithoutCancel(ctx))
	c := &Crowd{Guests: make([]*Guest, len(clusters)), leave: leave}
	admin, err := dialAdmin(f)
	if err != nil {
		return c, err
	}
	defer admin.close()
	tasks, registered := errgroup.WithContext(ctx)
	tasks.SetLimit(registering)
	for i, cluster := range clusters {
		tasks.Go(func() error {
			token, err := admin.register(registered, cluster)
			if err != nil {
				return fmt.Errorf("register %s: %w", cluster.Name, err)
			}
			c.Guests[i], err = newGuest(cluster.Name, f.SpokeAddress(), token)
			return err
		})
	}
	if err := tasks.Wait(); err != nil {
		return c, err
	}
	for _, g := range c.Guests {
		c.there.Go(func() { c.note(staying, g, g.client.Run(staying)) })
		c.there.Go(func() { c.note(staying, g, g.follow(staying)) })
	}
	for _, g := range c.Guests {
		select {
		case <-g.reached:
		case <-ctx.Done():
			return c, fmt.Errorf("%s does not connect: %w", g.Name, context.Cause(ctx))
		}
	}
	return c, nil
}

// Leave ends the sessions and returns what went wrong in them. It may be called more than once.
func (c *Crowd) Leave() error {
	c.leave()
	c.there.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.errs...)
}

// note keeps an error, unless it is that of leaving.
func (c *Crowd) note(staying context.Context, g *Guest, err error) {
	if err == nil || staying.Err() != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs = append(c.errs, fmt.Errorf("guest %s: %w", g.Name, err))
}

// admin registers clusters: fleetctl would take a process for each.
type admin struct {
	clusters adminv1.ClustersServiceClient
	close    func() error
}

func dialAdmin(f *lab.Fleet) (admin, error) {
	address, pin, token, err := f.AdminAccess()
	if err != nil {
		return admin{}, err
	}
	digest, err := fleet.ParseDigest(pin)
	if err != nil {
		return admin{}, err
	}
	conn, err := rpc.Dial(rpc.DialConfig{Address: address, TLS: identity.PinnedClientTLS(digest, nil), Token: token, UserAgent: "crowd"})
	if err != nil {
		return admin{}, err
	}
	return admin{adminv1.NewClustersServiceClient(conn), conn.Close}, nil
}

func (a admin) register(ctx context.Context, c Cluster) (token string, err error) {
	answer, err := a.clusters.Register(ctx, &adminv1.RegisterRequest{Name: c.Name, Labels: c.Labels})
	return answer.GetToken(), err
}
