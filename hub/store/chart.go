package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// makeChart makes the HelmChart that a HelmRelease's spec.chart says, for it alone, and ends one that it no longer says. A
// HelmRelease that may not have what its chart is of has none, which is told when it is built.
func (s *Store) makeChart(ctx context.Context, tx pgx.Tx, object *resource.Object) error {
	if object.Kind != resource.HelmRelease.Name {
		return nil
	}
	m := object.Metadata
	spec, err := resource.Spec[flux.HelmRelease](object)
	if err != nil {
		return err
	}
	if spec.Chart == nil || !s.crossNamespace && flux.Denied(spec, m.Namespace) != nil {
		return s.endCharts(ctx, tx, object, "")
	}
	chart, err := chartOf(object, spec)
	if err != nil {
		return err
	}
	if err := s.endCharts(ctx, tx, object, chart.Metadata.Namespace); err != nil {
		return err
	}
	old, err := lockObject(ctx, tx, chart.Kind, chart.Metadata.Namespace, chart.Metadata.Name)
	if err != nil && !errors.Is(err, fleet.ErrNotFound) {
		return err
	}
	if old != nil {
		if err := mayOwn(old, object); err != nil {
			return err
		}
		keepAnnotations(old, chart)
		if err := keepSuspended(old, chart); err != nil {
			return err
		}
	}
	if _, err := s.writeObject(ctx, tx, old, chart); err != nil {
		return err
	}
	const own = `UPDATE object SET owner = $5 WHERE home = $1 AND kind = $2 AND namespace = $3 AND name = $4 AND owner IS DISTINCT FROM $5`
	_, err = tx.Exec(ctx, own, fleet.HubHome, chart.Kind, chart.Metadata.Namespace, chart.Metadata.Name, object.Key().String())
	return explain("make "+chart.String(), err)
}

// settleCharts makes, when the hub starts, the HelmCharts of HelmReleases what this hub would make them: those of Sources of
// other namespaces may be allowed now, or no more, and another version may have made one of other fields. One that cannot
// be made is left out, and the log says why.
func (s *Store) settleCharts(ctx context.Context) error {
	apps, _, err := s.Objects(ctx, resource.Query{Kind: resource.HelmRelease.Name})
	if err != nil {
		return fmt.Errorf("find HelmReleases without their HelmChart: %w", err)
	}
	charts, _, err := s.Objects(ctx, resource.Query{Kind: resource.HelmChart.Name})
	if err != nil {
		return fmt.Errorf("find the HelmCharts of HelmReleases: %w", err)
	}
	owned := map[fleet.Key][]*resource.Object{}
	for _, chart := range charts {
		if chart.Owner != (fleet.Key{}) {
			owned[chart.Owner] = append(owned[chart.Owner], chart)
		}
	}
	for _, app := range apps {
		settled, err := s.hasItsChart(app, owned[app.Key()])
		if err == nil && !settled {
			err = s.settleChart(ctx, app)
		}
		if err != nil {
			s.log.Warn("no HelmChart made", "app", app.String(), "err", err)
		}
	}
	return nil
}

// hasItsChart reports whether the HelmCharts that are made for a HelmRelease are the one that it says.
func (s *Store) hasItsChart(app *resource.Object, owned []*resource.Object) (bool, error) {
	spec, err := resource.Spec[flux.HelmRelease](app)
	if err != nil {
		return false, err
	}
	if spec.Chart == nil || !s.crossNamespace && flux.Denied(spec, app.Metadata.Namespace) != nil {
		return len(owned) == 0, nil
	}
	if len(owned) != 1 {
		return false, nil
	}
	has := owned[0]
	want, err := chartOf(app, spec)
	if err != nil {
		return false, err
	}
	keepAnnotations(has, want)
	if err := keepSuspended(has, want); err != nil {
		return false, err
	}
	return has.Key() == want.Key() && sameJSON(has.Spec, want.Spec) && maps.Equal(has.Metadata.Labels, want.Metadata.Labels) &&
		maps.Equal(has.Metadata.Annotations, want.Metadata.Annotations), nil
}

func (s *Store) settleChart(ctx context.Context, app *resource.Object) error {
	act := action{verb: "make the chart of", object: app.String()}
	return s.transact(ctx, System, act, func(tx pgx.Tx) error {
		object, err := lockObject(ctx, tx, app.Kind, app.Metadata.Namespace, app.Metadata.Name)
		if err != nil {
			return err
		}
		if err := s.makeChart(ctx, tx, object); err != nil {
			return err
		}
		return publish(ctx, tx, TopicObjects)
	})
}

// chartOf is the HelmChart of a HelmRelease.
func chartOf(object *resource.Object, spec flux.HelmRelease) (*resource.Object, error) {
	m := object.Metadata
	declared, labels, annotations := spec.Declares(m.Namespace, m.Name)
	raw, err := json.Marshal(declared)
	if err != nil {
		return nil, fmt.Errorf("encode the HelmChart of %s: %w", object, err)
	}
	at := spec.Source(m.Namespace, m.Name)
	chart := &resource.Object{APIVersion: resource.HelmChart.APIVersion, Kind: resource.HelmChart.Name, Spec: raw, Owner: object.Key()}
	chart.Metadata = resource.Metadata{Namespace: at.Namespace, Name: at.Name, Labels: labels, Annotations: annotations}
	return chart, nil
}

// mayOwn refuses to take the place of what is somebody else's. What Flux made for the same HelmRelease has its labels, and
// is taken over.
func mayOwn(chart, owner *resource.Object) error {
	m := owner.Metadata
	labels := chart.Metadata.Labels
	if chart.Owner == owner.Key() || chart.Owner == (fleet.Key{}) && labels[flux.HelmOwnerName] == m.Name && labels[flux.HelmOwnerNamespace] == m.Namespace {
		return nil
	}
	return fmt.Errorf("%s: spec.chart: %w: it stands for %s, and %s: call the HelmRelease otherwise, or name that HelmChart in spec.chartRef", owner, fleet.ErrConflict, chart, chart.MadeFor())
}

// keepSuspended leaves a HelmChart suspended that a person has suspended.
func keepSuspended(old, chart *resource.Object) error {
	spec, err := resource.Spec[flux.HelmChart](old)
	if err != nil || !spec.Suspend {
		return err
	}
	declared, err := resource.Spec[flux.HelmChart](chart)
	if err != nil {
		return err
	}
	declared.Suspend = true
	chart.Spec, err = json.Marshal(declared)
	return err
}

// endCharts ends the HelmCharts of a HelmRelease, but for the one in a namespace (empty: all). Who else uses one has no say:
// it goes with its App, which nobody can keep by naming it.
func (s *Store) endCharts(ctx context.Context, tx pgx.Tx, owner *resource.Object, but string) error {
	if owner.Kind != resource.HelmRelease.Name {
		return nil
	}
	const query = `SELECT ` + objectColumns + ` FROM object WHERE owner = $1 AND namespace <> $2 AND deleted_at IS NULL ORDER BY key FOR UPDATE`
	rows, err := tx.Query(ctx, query, owner.Key().String(), but)
	if err != nil {
		return explain("find the HelmChart of "+owner.String(), err)
	}
	charts, err := pgx.CollectRows(rows, scanObject)
	if err != nil {
		return explain("find the HelmChart of "+owner.String(), err)
	}
	for _, chart := range charts {
		if err := forgetSource(ctx, tx, chart); err != nil {
			return err
		}
		if err := markDeleted(ctx, tx, chart, nil); err != nil {
			return err
		}
	}
	return nil
}

// admitOwned refuses a person's change of what the hub made for an App. One that changes nothing is none.
func admitOwned(old, object *resource.Object) error {
	if old == nil || old.Owner == (fleet.Key{}) {
		return nil
	}
	was, err := storedSpec(old)
	if err != nil {
		return err
	}
	is, err := storedSpec(object)
	if err != nil {
		return err
	}
	if sameJSON(was, is) && maps.Equal(old.Metadata.Labels, object.Metadata.Labels) && maps.Equal(old.Metadata.Annotations, object.Metadata.Annotations) {
		return nil
	}
	return fmt.Errorf("%s: %w: it is made of spec.chart of %s: change that", object, fleet.ErrConflict, old.Owner.Words())
}

// refuseOwned refuses to delete what goes with an App.
func refuseOwned(object *resource.Object) error {
	if object.Owner == (fleet.Key{}) {
		return nil
	}
	return fmt.Errorf("%s: %w: it is made of spec.chart of %s, and goes with that", object, fleet.ErrConflict, object.Owner.Words())
}

// annotateInput marks what a HelmChart is made of, if it is there: a chart has nothing newer than that.
func annotateInput(ctx context.Context, tx pgx.Tx, kind, namespace, name string, marks map[string]string) error {
	if kind != resource.HelmChart.Name {
		return nil
	}
	chart, err := getObject(ctx, tx, kind, namespace, name)
	if err != nil {
		return err
	}
	spec, err := resource.Spec[flux.HelmChart](chart)
	if err != nil {
		return err
	}
	err = annotate(ctx, tx, spec.SourceRef.Kind, namespace, spec.SourceRef.Name, marks)
	if errors.Is(err, fleet.ErrNotFound) {
		return nil // which the chart tells
	}
	return err
}
