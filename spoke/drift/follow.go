package drift

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"flotilla.dev/flotilla/pkg/run"
)

// Source is what Follow lists and watches.
type Source struct {
	List  func(context.Context, metav1.ListOptions) (runtime.Object, error)
	Watch func(context.Context, metav1.ListOptions) (watch.Interface, error)
	// Selector selects by label, Fields by field; empty: everything.
	Selector string
	Fields   string
}

// Follower is told what Follow sees, one call at a time.
type Follower struct {
	// Listing is called before a list is asked for. Optional.
	Listing func()
	// Listed is called with the whole set: at the start, and after every gap between two watches.
	Listed func(items []metav1.Object, version uint64)
	Event  func(kind watch.EventType, object metav1.Object)
	// Failed is called with what went wrong, before Follow tries again. Optional.
	Failed func(error)
}

const (
	pageSize   = 500
	retryFirst = 250 * time.Millisecond
	retryMax   = 30 * time.Second
)

// Follow lists, then watches, until the context ends. A watch that ends by itself is resumed where it was; one that
// cannot be resumed is followed by a list.
func Follow(ctx context.Context, source Source, to Follower) {
	wait := retryFirst
	for ctx.Err() == nil {
		version, err := list(ctx, source, to)
		if err == nil {
			wait = retryFirst
			err = follow(ctx, source, to, version)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && to.Failed != nil {
			to.Failed(err)
		}
		if run.Sleep(ctx, run.Jitter(wait, 0.5)) != nil {
			return
		}
		wait = min(2*wait, retryMax)
	}
}

func list(ctx context.Context, source Source, to Follower) (version string, err error) {
	if to.Listing != nil {
		to.Listing()
	}
	var items []metav1.Object
	options := metav1.ListOptions{LabelSelector: source.Selector, FieldSelector: source.Fields, Limit: pageSize}
	for {
		page, err := source.List(ctx, options)
		if err != nil {
			return "", err
		}
		pageMeta, err := meta.ListAccessor(page)
		if err != nil {
			return "", err
		}
		err = meta.EachListItem(page, func(item runtime.Object) error {
			object, err := meta.Accessor(item)
			items = append(items, object)
			return err
		})
		if err != nil {
			return "", err
		}
		version = pageMeta.GetResourceVersion()
		if options.Continue = pageMeta.GetContinue(); options.Continue == "" {
			break
		}
	}
	to.Listed(items, parseVersion(version))
	return version, nil
}

// follow watches from version on and returns when a list is needed.
func follow(ctx context.Context, source Source, to Follower, version string) error {
	for ctx.Err() == nil {
		began := time.Now()
		w, err := source.Watch(ctx, metav1.ListOptions{
			LabelSelector: source.Selector, FieldSelector: source.Fields,
			ResourceVersion: version, AllowWatchBookmarks: true,
		})
		if err != nil {
			return err
		}
		version, err = drain(w, to, version)
		w.Stop()
		if err != nil {
			return err
		}
		if time.Since(began) < time.Second { // a server that closes at once is not asked in a loop
			_ = run.Sleep(ctx, time.Second) // the loop looks at ctx
		}
	}
	return nil
}

func drain(w watch.Interface, to Follower, version string) (string, error) {
	for event := range w.ResultChan() {
		if event.Type == watch.Error {
			return version, apierrors.FromObject(event.Object)
		}
		object, err := meta.Accessor(event.Object)
		if err != nil {
			return version, errors.Join(errors.New("watch"), err)
		}
		version = object.GetResourceVersion()
		if event.Type != watch.Bookmark {
			to.Event(event.Type, object)
		}
	}
	return version, nil
}
