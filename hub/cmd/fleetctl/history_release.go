package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// runReleaseHistory shows the versions of a HelmRelease in a cluster, as helm history does. Of a cluster that does not answer
// it shows what was last reported.
func (a *app) runReleaseHistory(ctx context.Context, r ref) error {
	request := about(r)
	request.Ask = &adminv1.AskRequest_HelmHistory{HelmHistory: &adminv1.HelmHistoryAsk{}}
	doing := "read the history of " + r.String()
	answers, err := ask[fleet.HelmHistory](ctx, a, doing, request)
	if err != nil {
		return err
	}
	if len(answers) != 1 {
		return &failure{code: exitGeneral, what: doing + ": the hub gave no answer"}
	}
	versions := answers[0].content.Versions
	if away := answers[0].err; away != nil {
		if !answers[0].away {
			return failed(doing, answers)
		}
		var reported bool
		if versions, reported, err = a.reportedVersions(ctx, r); err != nil {
			return err
		}
		if !reported {
			return failed(doing, answers)
		}
		a.say(symbolWarn, "%s; this is what it last reported", away.what)
	}
	if a.machine() {
		_, err := a.emit(struct {
			Items []fleet.HelmVersion `json:"items"`
		}{slices.Concat([]fleet.HelmVersion{}, versions)})
		return err
	}
	if len(versions) == 0 {
		a.say(symbolDone, "%s has no history yet", r)
		return nil
	}
	return a.printVersions(versions)
}

// reportedVersions are those that the hub knows of from the spoke's reports.
func (a *app) reportedVersions(ctx context.Context, r ref) (versions []fleet.HelmVersion, reported bool, err error) {
	h, err := a.connect()
	if err != nil {
		return nil, false, err
	}
	defer h.close()
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	found, err := h.get(ctx, r)
	if err != nil {
		return nil, false, a.explain("get "+r.String(), err)
	}
	for _, snapshot := range found.Status.History {
		versions = append(versions, snapshot.Recorded())
	}
	return versions, len(versions) > 0, nil
}

func (a *app) printVersions(versions []fleet.HelmVersion) error {
	t := a.table(nil, "REVISION", "UPDATED", "STATUS", "CHART", "APP VERSION", "ACTION", "DESCRIPTION")
	for _, v := range versions {
		updated := "unknown"
		if !v.Updated.IsZero() {
			updated = v.Updated.Local().Format(time.ANSIC)
		}
		t.Add(fmt.Sprint(v.Version), updated, v.Status, v.Chart, v.AppVersion, v.Action, versionText(v))
	}
	return t.Flush(a.stdout)
}

// versionText is what else there is to say of a version.
func versionText(v fleet.HelmVersion) string {
	var parts []string
	if v.Description != "" {
		parts = append(parts, v.Description)
	}
	for _, name := range slices.Sorted(maps.Keys(v.Tests)) {
		parts = append(parts, "test "+name+" "+strings.ToLower(v.Tests[name]))
	}
	if v.Foreign {
		parts = append(parts, "not made by Flotilla")
	}
	if v.Gone {
		parts = append(parts, "no longer stored")
	}
	return strings.Join(parts, "; ")
}
