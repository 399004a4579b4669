package sdk

import (
	"context"
	"fmt"
	"slices"
	"time"

	"helm.sh/helm/v4/pkg/kube"
	"k8s.io/client-go/dynamic"

	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/spoke/health"
)

// waiter waits for objects by looking at them, at first often, then every few seconds as Flux does. An object that is as
// it is to be is not looked at again.
type waiter struct {
	action    *action
	client    dynamic.Interface
	hooksOnly bool
}

var _ kube.Waiter = (*waiter)(nil)

// The pauses between looks.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Wait implements kube.Waiter. A Job is as it is to be when it has begun.
func (w *waiter) Wait(objects kube.ResourceList, timeout time.Duration) error {
	return w.wait(objects, timeout, false)
}

// WaitWithJobs implements kube.Waiter. A Job is as it is to be when it has completed.
func (w *waiter) WaitWithJobs(objects kube.ResourceList, timeout time.Duration) error {
	return w.wait(objects, timeout, true)
}

// wait ends as soon as an object has failed.
func (w *waiter) wait(objects kube.ResourceList, timeout time.Duration, jobs bool) error {
	if w.hooksOnly {
		return nil
	}
	return w.until(w.choose(objects, w.hasState), timeout, func(seen *sight) { w.evaluate(seen, jobs) }, func(all []*sight) bool {
		return slices.ContainsFunc(all, func(s *sight) bool { return s.state == health.Failed })
	})
}

// WatchUntilReady implements kube.Waiter. It is for hooks: Jobs and Pods are waited for, all else is as it is to be, but
// for what the spec has expressions for. It ends when all have, or have failed: a hook may be the migration of a database.
func (w *waiter) WatchUntilReady(objects kube.ResourceList, timeout time.Duration) error {
	return w.until(w.choose(objects, w.isAwaitedHook), timeout, w.evaluateHook, func(all []*sight) bool {
		return !slices.ContainsFunc(all, func(s *sight) bool { return s.state != health.Failed && s.state != health.Current })
	})
}

// WaitForDelete implements kube.Waiter.
func (w *waiter) WaitForDelete(objects kube.ResourceList, timeout time.Duration) error {
	if w.hooksOnly {
		return nil
	}
	return w.until(objects, timeout, func(seen *sight) {
		switch {
		case seen.state == health.NotFound:
			seen.state = health.Current
		case seen.object != nil:
			seen.state, seen.message = health.Terminating, "it is not gone yet"
		}
	}, func([]*sight) bool { return false })
}

// until looks at objects until all are Current, it is enough, or the time is over.
func (w *waiter) until(objects kube.ResourceList, timeout time.Duration, judge func(*sight), enough func([]*sight) bool) error {
	ctx, cancel := context.WithTimeout(w.action.ctx, timeout)
	defer cancel()
	var all []*sight
	for _, info := range objects {
		all = append(all, &sight{info: info, state: "Unknown"})
	}
	back := run.Backoff{Min: firstPause, Max: lastPause}
	for {
		open := all[:0:0]
		for _, seen := range all {
			if seen.state != health.Current && ctx.Err() == nil {
				w.look(ctx, seen)
				judge(seen)
			}
			if seen.state != health.Current {
				open = append(open, seen)
			}
		}
		switch {
		case len(open) == 0:
			return nil
		case enough(all):
			return &waitError{open, errFailed}
		case ctx.Err() == nil && run.Sleep(ctx, back.Next()) == nil:
			continue
		case w.action.ctx.Err() != nil:
			return &waitError{open, errCut}
		}
		return &waitError{open, fmt.Errorf("it took longer than %s", timeout)}
	}
}
