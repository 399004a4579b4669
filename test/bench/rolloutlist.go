package main

import (
	"context"
	"fmt"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/rpc"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// pageSize is what a person's terminal, and a page of the browser, asks for at a time.
const pageSize = 500

// list times the pages of the list of all Assignments. The hub gives apps to all clusters until there are as many.
func (r *rollouts) list(ctx context.Context) error {
	if err := r.fleet.Hub.Start(ctx); err != nil {
		return err
	}
	apps := r.settings.assignments / r.settings.clusters
	for i := range apps - 1 { // beside the one that steps were timed of
		if err := r.fleet.Apply(ctx, declaredAs(fmt.Sprint("listed-", i), "bench: steps")); err != nil {
			return err
		}
	}
	for i := range apps - 1 {
		app := stepped
		app.Name = fmt.Sprint("listed-", i)
		if err := r.everywhere(ctx, app); err != nil {
			return err
		}
		if err := r.reports(ctx, app); err != nil {
			return err
		}
	}
	if _, err := r.db.Exec(ctx, `ANALYZE`); err != nil {
		return err
	}
	pages, listed, err := r.pages(ctx)
	if err != nil {
		return err
	}
	if listed < r.settings.assignments {
		return fmt.Errorf("%d Assignments are listed of at least %d", listed, r.settings.assignments)
	}
	name := fmt.Sprintf("list of %d assignments", r.settings.assignments)
	r.add(figureOf(name+", a page", seconds, pages, fmt.Sprintf("of %d, by the admin API", pageSize)).upTo(0.100))
	r.add(slowest(name+", a page, p99", pages))
	return nil
}

// everywhere waits until all clusters are to have an App.
func (r *rollouts) everywhere(ctx context.Context, app fleet.Key) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		var n int
		if err := r.db.QueryRow(ctx, `SELECT count(*) FROM assignment WHERE app = $1`, app.String()).Scan(&n); err != nil {
			return err
		}
		if n >= r.settings.clusters {
			return nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d clusters are to have %s: %w", n, r.settings.clusters, app, err)
		}
	}
}

// pages reads the whole list.
func (r *rollouts) pages(ctx context.Context) (took sample, listed int, err error) {
	address, pin, token, err := r.fleet.AdminAccess()
	if err != nil {
		return nil, 0, err
	}
	digest, err := fleet.ParseDigest(pin)
	if err != nil {
		return nil, 0, err
	}
	conn, err := rpc.Dial(rpc.DialConfig{Address: address, TLS: identity.PinnedClientTLS(digest, nil), Token: token, UserAgent: "bench"})
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = conn.Close() }()
	objects := adminv1.NewObjectsServiceClient(conn)
	request := &adminv1.ListRequest{Kind: "Kustomization", Cluster: "*", Limit: pageSize}
	for {
		began := time.Now()
		page, err := objects.List(ctx, request)
		if err := took.note(time.Since(began), err); err != nil {
			return nil, 0, err
		}
		listed += len(page.GetObjects())
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return took, listed, nil
		}
	}
}
