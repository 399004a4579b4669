package main

import (
	"cmp"
	"context"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"

	"flotilla.dev/flotilla/pkg/resource"
)

// query selects objects of one kind.
type query struct {
	kind      resource.Kind
	namespace string
	selector  string
	// cluster, or everyCluster: the Apps' instances there.
	cluster string
	name    string
}

// queryOf selects the object that r names.
func queryOf(r ref) query {
	return query{kind: r.kind, namespace: r.namespace, cluster: r.cluster, name: r.name}
}

// get returns the object that r names.
func (h *hub) get(ctx context.Context, r ref) (*object, error) {
	response, err := h.objects.Get(ctx, &adminv1.GetRequest{
		Kind: r.kind.Name, Namespace: r.namespace, Name: r.name, Cluster: r.cluster,
	})
	if err != nil {
		return nil, err
	}
	return readObject(response.GetObject())
}

// list returns all pages of q and where to watch from.
func (h *hub) list(ctx context.Context, q query) (objects []*object, watchToken string, err error) {
	request := &adminv1.ListRequest{
		Kind: q.kind.Name, Namespace: q.namespace, LabelSelector: q.selector, Cluster: q.cluster, Name: q.name,
	}
	for page, err := range pages(ctx, h.objects.List, request, &request.PageToken) {
		if err != nil {
			return nil, "", err
		}
		watchToken = cmp.Or(watchToken, page.GetWatchToken()) // the first page's
		for _, raw := range page.GetObjects() {
			o, err := readObject(raw)
			if err != nil {
				return nil, "", err
			}
			objects = append(objects, o)
		}
	}
	return objects, watchToken, nil
}
