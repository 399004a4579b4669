package helm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/apply"
)

// History are the versions of a release: those that Helm has stored, and those that are only recorded.
func (e *Engine) History(ctx context.Context, app fleet.Key, plan flux.HelmPlan) (fleet.HelmHistory, error) {
	answer := fleet.HelmHistory{Versions: []fleet.HelmVersion{}}
	if err := e.Ready(ctx); err != nil {
		return answer, err
	}
	of, name := namesOf(app, plan.Spec), plan.Spec.ServiceAccountName
	var known record
	if a := e.known(app); a != nil {
		known = a.record()
		if known.Target != nil {
			of, name = known.Target.names, cmp.Or(name, known.Target.ServiceAccount) // where it is, not where it is to be
		}
	}
	stored, err := e.versions(ctx, app, name, of, false)
	if err != nil {
		return answer, fmt.Errorf("history of %s: %w", app.Words(), err)
	}
	answer.Versions = history(stored, &known)
	return answer, nil
}

// history is what there is to tell of versions, the newest first.
func history(stored []storedVersion, known *record) []fleet.HelmVersion {
	all := []fleet.HelmVersion{}
	recorded := known.Status.History
	for _, s := range recorded {
		v := s.Recorded()
		v.Gone = !slices.ContainsFunc(stored, func(has storedVersion) bool { return has.version == s.Version })
		if v.Gone {
			all = append(all, v)
		}
	}
	for _, s := range stored {
		v := fleet.HelmVersion{
			Version: s.version, Updated: s.updated, Status: s.status, Chart: s.chart, AppVersion: s.appVersion,
			Description: describe(s.description, known.Plain && len(recorded) > 0 && recorded[0].Version == s.version),
		}
		at := slices.IndexFunc(recorded, func(r fleet.HelmSnapshot) bool { return r.Version == s.version })
		if v.Foreign = at < 0; at >= 0 {
			known := recorded[at].Recorded()
			v.Action, v.Tests = known.Action, known.Tests
		}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b fleet.HelmVersion) int { return cmp.Compare(b.Version, a.Version) })
	return all
}

// storedVersion is what is read of one as Helm stores it.
type storedVersion struct {
	version                                int
	status, chart, appVersion, description string
	updated                                time.Time
	// config are the values that it was made with, if they were asked for.
	config map[string]any
}

// harmless are descriptions of Helm's in which nothing stands that a chart or the API server said.
var harmless = regexp.MustCompile(`^((Install|Upgrade|Dry run|Uninstallation) complete|Initial install underway|Preparing upgrade|Rollback to [0-9]+|` +
	`Deletion in progress \(or silently failed\)|Release unlocked from stale '[a-z-]+' state)$`)

// describe is what is told of a description of Helm's: why an action failed may quote an object, and that values of Secrets, unless
// the version is known to be plain.
func describe(description string, plain bool) string {
	switch {
	case description == "" || harmless.MatchString(description):
		return description
	case plain:
		return cut(description)
	case strings.Contains(description, "failed"):
		return "Failed: why is not shown, since values of Secrets may be in it"
	}
	return "Not shown, since values of Secrets may be in it"
}

// maxShown bounds how many versions of a release are read for a question.
const maxShown = 50

// versions reads what Helm has stored of a release, the newest first and not more than maxShown, as the App's account: where the
// release is the App's plan says. With config, they have the values.
func (e *Engine) versions(ctx context.Context, app fleet.Key, name string, of names, config bool) (all []storedVersion, err error) {
	by, err := e.accounts.Hire(app.Namespace, name, e.config.DefaultServiceAccount)
	if err != nil {
		return nil, fmt.Errorf("spec.serviceAccountName: %w", err)
	}
	defer e.accounts.Dismiss(by)
	numbers := map[int]string{}
	options := metav1.ListOptions{LabelSelector: helmOwner + "," + nameLabel + "=" + of.Release, FieldSelector: helmType, Limit: 500}
	for {
		page, err := by.Metadata.Resource(secrets).Namespace(of.Storage).List(ctx, options)
		if err != nil {
			err = apply.Explain(fleet.ObjectRef{Version: "v1", Kind: "Secret", Namespace: of.Storage}, "list", err)
			return nil, fmt.Errorf("list what Helm has stored of %s/%s: %w", of.Storage, of.Release, by.Blame(ctx, e.client, err))
		}
		for _, item := range page.Items {
			if number, err := strconv.Atoi(item.Labels["version"]); err == nil { // Helm's are numbers
				numbers[number] = item.Name
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			break
		}
	}
	newest := slices.Sorted(maps.Keys(numbers))
	slices.Reverse(newest)
	for _, number := range newest[:min(len(newest), maxShown)] { // one by one: each may be 1 MiB
		secret := fleet.ObjectRef{Version: "v1", Kind: "Secret", Namespace: of.Storage, Name: numbers[number]}
		packed, _, err := e.packed(ctx, by, secret)
		if errors.Is(err, fleet.ErrNotFound) {
			continue // it went meanwhile
		}
		if err != nil {
			return nil, err
		}
		v, err := readVersion(packed, config && len(all) == 0)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", secret, err)
		}
		all = append(all, v)
	}
	return all, nil
}

// readVersion reads a version out of its Secret's content. The templates of its chart are passed over.
func readVersion(stored []byte, config bool) (storedVersion, error) {
	var v storedVersion
	var info struct {
		Status       string    `json:"status"`
		Description  string    `json:"description"`
		LastDeployed time.Time `json:"last_deployed"`
	}
	var metadata struct{ Name, Version, AppVersion string }
	err := eachField(stored, func(field string, from *json.Decoder) (taken bool, err error) {
		switch field {
		case "version":
			return true, from.Decode(&v.version)
		case "info":
			return true, from.Decode(&info)
		case "config":
			if config {
				return true, from.Decode(&v.config)
			}
		case "chart":
			return true, fieldsOf(from, func(field string, from *json.Decoder) (bool, error) {
				if field == "metadata" {
					return true, from.Decode(&metadata)
				}
				return false, nil
			})
		}
		return false, nil
	})
	v.status, v.description, v.updated = info.Status, info.Description, info.LastDeployed
	v.chart, v.appVersion = metadata.Name+"-"+metadata.Version, metadata.AppVersion
	return v, err
}
