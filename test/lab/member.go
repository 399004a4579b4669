package lab

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Member is a cluster of a fleet and its spoke.
type Member struct {
	// Cluster is the Kubernetes control plane.
	*Cluster
	// Spoke is the agent's process; nil until the cluster has joined.
	Spoke *Program
	// Token is the join token that the spoke was started with.
	Token string
	// Labels are those that the cluster is registered with.
	Labels map[string]string

	name  string
	apart bool
	// by is the address that the spoke reaches the hub at; empty: the hub's.
	by string
}

// Name is the cluster's name.
func (m *Member) Name() string { return m.name }

func (f *Fleet) startCluster(ctx context.Context, m *Member) error {
	started := time.Now()
	var err error
	m.Cluster, err = StartCluster(ctx, ClusterConfig{
		Name: m.name, Dir: f.file(filepath.Join("clusters", m.name)), Progress: f.config.Progress, Audit: f.config.Audit, Podlet: true,
	})
	if err != nil {
		return err
	}
	f.say("cluster %s: API server ready after %s", m.name, time.Since(started).Round(100*time.Millisecond))
	return nil
}

// Join registers a cluster as a person does, and starts its spoke with the token that this gives. One that has joined
// before and was deleted since joins anew.
func (f *Fleet) Join(ctx context.Context, m *Member) error {
	register := []string{"cluster", "register", m.name, "--print", "token"}
	for _, key := range slices.Sorted(maps.Keys(m.Labels)) {
		register = append(register, "--label", key+"="+m.Labels[key])
	}
	registered := f.Fleetctl(ctx, register...)
	if err := registered.Err(); err != nil {
		return err
	}
	if err := f.StartSpoke(ctx, m, strings.TrimSpace(registered.Stdout)); err != nil {
		return err
	}
	connected := f.Fleetctl(ctx, "wait", "cluster/"+m.name, "--for=connected", "--timeout", programStart.String())
	if err := connected.Err(); err != nil {
		return fmt.Errorf("%w; the end of %s:\n%s", err, m.Spoke.log, m.Spoke.process.tail())
	}
	f.say("cluster %s: spoke connected", m.name)
	return nil
}

// Reach has a cluster's spoke reach the hub by a Link, or again by itself with nil. It starts the spoke anew.
func (f *Fleet) Reach(ctx context.Context, m *Member, by *Link) error {
	m.by = ""
	if by != nil {
		m.by = by.Address()
	}
	return f.StartSpoke(ctx, m, m.Token)
}

// StartSpoke starts a cluster's spoke with a token, in place of the one before, if there is one.
func (f *Fleet) StartSpoke(ctx context.Context, m *Member, token string) error {
	if m.Spoke != nil {
		if err := m.Spoke.Stop(); err != nil {
			return err
		}
	}
	m.Token = token
	return f.placeSpoke(ctx, m)
}
