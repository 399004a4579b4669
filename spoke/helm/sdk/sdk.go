package sdk

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"helm.sh/helm/v4/pkg/kube"
	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// fieldManager is who writes objects for the API server: Flux's, so that objects can be taken over and given back.
const fieldManager = "helm-controller"

// SDK does the Requests of one Job, one at a time.
type SDK struct {
	job     job.Job
	archive []byte

	way    *way
	own    kubernetes.Interface // not impersonating: it reads what the values are from, as Flux does
	health *expr.Health

	prepared *prepared
	// broken is why the Job cannot be done at all, which answers every Request.
	broken error
	// digests are those of the charts' artifacts, and made what made a version, by version: of versions made here, and of those
	// that the Job knows. Helm does not store them.
	digests map[int]string
	made    map[int]job.Action
	// lookedUp says that a template has read objects of the cluster, Secrets maybe.
	lookedUp atomic.Bool
	// plain says that the newest version is known to have no value of a Secret.
	plain bool
}

var naming sync.Once

// New makes the clients; it asks nothing of the cluster.
func New(j job.Job, archive []byte) (*SDK, error) {
	naming.Do(func() { kube.ManagedFieldsManager = fieldManager })
	s := &SDK{job: j, archive: archive, digests: map[int]string{}, made: map[int]job.Action{}, plain: j.Plain}
	maps.Copy(s.digests, j.OCIDigests)
	var err error
	if s.way, err = newWay(j); err != nil {
		return nil, err
	}
	if s.own, err = kubernetes.NewForConfig(s.way.own); err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	if s.health, err = expr.NewHealth(j.Plan.Spec.HealthCheckExprs); err != nil {
		return nil, err
	}
	return s, nil
}

// Do does a Request. When ctx ends it is cut short.
func (s *SDK) Do(ctx context.Context, r job.Request) job.Answer {
	began := time.Now()
	a := &action{SDK: s, ctx: ctx, request: r}
	err := guarded(a.do)
	if err != nil && a.answer.Failure == nil {
		a.answer.Failure = a.failing(err)
	}
	if a.answer.Failure != nil {
		a.answer.Failure.Began = a.stored
	}
	a.answer.LookedUp = a.lookedUp.Load()
	a.answer.Took = time.Since(began)
	return a.answer
}

// action is one Request under way.
type action struct {
	*SDK
	ctx     context.Context // of one call of Do
	request job.Request
	answer  job.Answer

	begun  func() bool // called when Helm writes first
	tested int         // version

	mu sync.Mutex // Helm works with several goroutines
	// stored says that Helm has written a version of the release.
	stored bool
	// said is the last error that Helm logged.
	said error
}

func (a *action) hear(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.said = err
}

func (a *action) heard() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.said
}

// guarded turns a panic into an error.
func guarded(what func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &panicked{r}
		}
	}()
	return what()
}

func (a *action) do() error {
	if a.broken != nil {
		return a.broken
	}
	switch a.request.Action {
	case job.Prepare:
		return a.prepare()
	case job.Render:
		return a.render()
	case job.Values:
		return a.showValues()
	}
	if a.request.Action == job.Observe {
		return a.observe()
	}
	what := map[job.Action]func() error{
		job.Install: a.install, job.Upgrade: a.upgrade, job.Test: a.test,
		job.Rollback: a.rollback, job.Uninstall: a.uninstall, job.Unlock: a.unlock,
	}[a.request.Action]
	if what == nil {
		return fmt.Errorf("%w: no action %q", fleet.ErrInvalid, a.request.Action)
	}
	if err := guarded(what); err != nil {
		a.answer.Failure = a.failing(err)
	}
	if err := guarded(a.observe); err != nil { // which is no failure of the action
		a.answer.History, a.answer.Unobserved = nil, a.failing(err)
	}
	return nil
}
