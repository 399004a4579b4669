package api_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// One App's name begins with another's, as does a cluster's.
func TestPagesOfInstancesAddUpToTheList(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	release := b.running()
	b.apply(clusterYAML("prod-10", "prod"))
	b.roll()
	second := appKey
	second.Name = "app-2"
	b.apply(strings.Replace(ksYAML, `"metadata":{"name":"app"`, `"metadata":{"name":"app-2"`, 1))
	b.apply(placementYAML("app-2", strings.Replace(prodApp, `"name":"app"`, `"name":"app-2"`, 1)))
	release.App = second
	if _, err := b.Released(b.ctx, 1, "main@sha1:1", release); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Roll(b.ctx, second, rollout.Next); err != nil {
		t.Fatal(err)
	}
	for want, ask := range map[string]*adminv1.ListRequest{
		"app@prod-1 app@prod-10 app@prod-2 app-2@prod-1 app-2@prod-10 app-2@prod-2": {Cluster: "*"},
		"app@prod-10 app-2@prod-10":               {Cluster: "prod-10"},
		"app-2@prod-1 app-2@prod-10 app-2@prod-2": {Cluster: "*", Name: "app-2"},
		"app@prod-1 app@prod-10 app@prod-2":       {Cluster: "*", Name: "app", Namespace: "apps"},
		"":                                        {Cluster: "*", Namespace: "others"},
	} {
		ask.Kind = "Kustomization"
		for limit := range uint32(8) {
			ask.Limit, ask.PageToken = limit, ""
			var got []string
			for {
				resp, err := b.objects.List(b.ctx, ask)
				if err != nil {
					t.Fatal(err)
				}
				if n := len(resp.GetObjects()); limit > 0 && n > int(limit) {
					t.Errorf("%d objects on a page of %d", n, limit)
				}
				for _, raw := range resp.GetObjects() {
					var o shown
					if err := json.Unmarshal(raw, &o); err != nil {
						t.Fatal(err)
					}
					got = append(got, o.Metadata.Name+"@"+o.Metadata.Annotations[fleet.ClusterAnnotation])
				}
				if ask.PageToken = resp.GetNextPageToken(); ask.PageToken == "" {
					break
				}
			}
			wanted := strings.Fields(want)
			slices.Sort(wanted)
			if slices.Sort(got); !slices.Equal(got, wanted) {
				t.Errorf("pages of %d hold %v, want %v", limit, got, wanted)
			}
		}
	}
}
