package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// askTimeout is how long a spoke may take to answer where --timeout does not say, and askSlack what the hub has beyond that
// to tell that it did not.
const (
	askTimeout = 60 * time.Second
	askSlack   = 10 * time.Second
)

// answer is what one cluster's spoke says.
type answer[T any] struct {
	cluster string
	content T
	err     *failure
	// away: the spoke is not connected.
	away bool
}

// about is the request about an App, in one cluster or in all that have it.
func about(r ref) *adminv1.AskRequest {
	cluster := r.cluster
	if cluster == everyCluster {
		cluster = ""
	}
	return &adminv1.AskRequest{Kind: r.kind.Name, Namespace: r.namespace, Name: r.name, Cluster: cluster}
}

// ask asks the spokes and reads their answers, by name of the cluster.
func ask[T any](ctx context.Context, a *app, doing string, request *adminv1.AskRequest) ([]answer[T], error) {
	h, err := a.connect()
	if err != nil {
		return nil, err
	}
	defer h.close()
	within := askTimeout
	if a.given["timeout"] && a.flags.timeout > 0 {
		within = a.flags.timeout
	}
	request.Timeout = durationpb.New(within)
	ctx, cancel := a.withTimeout(ctx, within+askSlack)
	defer cancel()
	stream, err := h.asks.Ask(ctx, request)
	if err != nil {
		return nil, a.explain(doing, err)
	}
	contents, answers := map[string][]byte{}, []answer[T]{}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, a.explain(doing, err)
		}
		cluster := part.GetCluster()
		contents[cluster] = append(contents[cluster], part.GetChunk()...)
		if !part.GetLast() {
			continue
		}
		got := answer[T]{cluster: cluster}
		if part.GetError() != "" {
			code := codes.Code(part.GetCode())
			got.err, got.away = unanswered(cluster, code, part.GetError()), code == codes.Unavailable
		} else if err := json.Unmarshal(contents[cluster], &got.content); err != nil {
			got.err = &failure{code: exitPrecondition, what: cluster + ": its answer is not understood", why: err.Error(),
				next: "fleetctl version: hub, spoke and fleetctl may differ by one minor version"}
		}
		delete(contents, cluster)
		answers = append(answers, got)
	}
	slices.SortFunc(answers, func(a, b answer[T]) int { return strings.Compare(a.cluster, b.cluster) })
	return answers, nil
}

// unanswered is why a cluster did not answer.
func unanswered(cluster string, code codes.Code, message string) *failure {
	// What a spoke says comes as a conflict, whatever it is: the word tells nothing.
	f := &failure{code: exitFailed, what: cluster + ": " + strings.TrimPrefix(message, "conflict: ")}
	switch code {
	case codes.Unavailable:
		f.code = exitPrecondition
		f.next = "fleetctl describe cluster/" + cluster
	case codes.FailedPrecondition:
		f.code = exitPrecondition
	case codes.NotFound:
		f.code = exitNotFound
	case codes.Unknown, codes.Internal:
		f.next = "the hub's log tells more"
	}
	return f
}

// failed tells of the clusters that did not answer; nil: all did.
func failed[T any](doing string, answers []answer[T]) error {
	var first *failure
	count, why := 0, ""
	for _, got := range answers {
		if got.err == nil {
			continue
		}
		count++
		why += got.err.what + "\n"
		if first == nil {
			first = got.err
		}
	}
	switch {
	case count == 0:
		return nil
	case len(answers) == 1:
		what := first.what
		if cluster := answers[0].cluster; strings.HasSuffix(doing, cluster) { // it need not be named twice
			what = strings.TrimPrefix(what, cluster+": ")
		}
		return &failure{code: first.code, what: orWhat(doing, what), why: first.why, next: first.next}
	}
	f := &failure{code: exitPartial, what: fmt.Sprintf("%s: %d of %d clusters did not answer", doing, count, len(answers)), why: why, next: first.next}
	if count == len(answers) {
		f.code = first.code
	}
	return f
}

// notDifferent makes an error of a command that says by exit code 1 that there are differences one that has another.
func notDifferent(a *app, err error) error {
	if err == nil || errors.Is(err, errDifferent) {
		return err
	}
	if _, isStatus := status.FromError(err); isStatus {
		return err
	}
	f := *a.explain("", err)
	if f.code == exitDifferent {
		f.code = exitFailed
	}
	return &f
}
