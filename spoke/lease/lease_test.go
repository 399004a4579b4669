package lease_test

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"flotilla.dev/flotilla/spoke/lease"
)

// server is the API server's part: one Lease with a resourceVersion.
type server struct {
	mu     sync.Mutex
	lease  *coordinationv1.Lease
	down   error
	writes int
	// notes are the writes that left an annotation.
	notes int
}

var resource = schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}

func (s *server) Get(_ context.Context, name string, _ metav1.GetOptions) (*coordinationv1.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.down != nil:
		return nil, s.down
	case s.lease == nil:
		return nil, apierrors.NewNotFound(resource, name)
	}
	return s.lease.DeepCopy(), nil
}

func (s *server) Create(_ context.Context, created *coordinationv1.Lease, _ metav1.CreateOptions) (*coordinationv1.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease != nil {
		return nil, apierrors.NewAlreadyExists(resource, created.Name)
	}
	return s.write(created)
}

func (s *server) Update(_ context.Context, updated *coordinationv1.Lease, _ metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease == nil || s.lease.ResourceVersion != updated.ResourceVersion {
		return nil, apierrors.NewConflict(resource, updated.Name, errors.New("changed"))
	}
	return s.write(updated)
}

func (s *server) write(l *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	if s.down != nil {
		return nil, s.down
	}
	s.writes++
	if len(l.Annotations) > 0 {
		s.notes++
	}
	s.lease = l.DeepCopy()
	s.lease.ResourceVersion = strconv.Itoa(s.writes)
	return s.lease.DeepCopy(), nil
}

func (s *server) set(down error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *server) holder() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease == nil || s.lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *s.lease.Spec.HolderIdentity
}

// agent acts while it holds the Lease, and remembers when.
type agent struct {
	started, stopped chan time.Time
	// rivals are those that it was told of.
	rivals chan string
	kill   context.CancelFunc
	done   chan error
}

func start(ctx context.Context, leases lease.Leases, name string) *agent {
	ctx, kill := context.WithCancel(ctx)
	a := &agent{started: make(chan time.Time, 10), stopped: make(chan time.Time, 10), rivals: make(chan string, 100), kill: kill, done: make(chan error, 1)}
	go func() {
		config := lease.Config{Leases: leases, Name: "flotilla-spoke", Holder: name, Log: slog.New(slog.DiscardHandler),
			Contended: func(other string) { a.rivals <- other }}
		a.done <- lease.Run(ctx, config,
			func(ctx context.Context) error {
				a.started <- time.Now()
				<-ctx.Done()
				a.stopped <- time.Now()
				return ctx.Err()
			})
	}()
	return a
}

// acts reports whether the agent has begun to act since it was asked last.
func (a *agent) acts() bool {
	synctest.Wait()
	select {
	case <-a.started:
		return true
	default:
		return false
	}
}

func TestSecondAgentWaitsUntilTheFirstStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &server{}
		first := start(t.Context(), api, "first")
		if !first.acts() {
			t.Fatal("the first agent does not act")
		}
		second := start(t.Context(), api, "second")
		time.Sleep(time.Hour)
		if second.acts() {
			t.Fatal("two agents act")
		}
		first.kill()
		if err := <-first.done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		time.Sleep(6 * time.Second)
		if !second.acts() {
			t.Error("the second agent does not act soon after the first gave the Lease back")
		}
		second.kill()
		<-second.done
	})
}

func TestHolderIsToldOfAnotherAgentThatGoesOnWaitingNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &server{}
		first := start(t.Context(), api, "first")
		<-first.started
		brief := start(t.Context(), api, "brief") // as when one agent takes another's place
		time.Sleep(25 * time.Second)
		brief.kill()
		<-brief.done
		time.Sleep(time.Hour)
		if len(first.rivals) != 0 {
			t.Errorf("it was told of %s", <-first.rivals)
		}
		second := start(t.Context(), api, "second")
		for _, times := range []int{1, 3} {
			if time.Sleep(time.Duration(times) * time.Hour); len(first.rivals) != times {
				t.Errorf("within %d hours it was told %d times of the second agent", times, len(first.rivals))
			}
			for range len(first.rivals) {
				if other := <-first.rivals; other != "second" {
					t.Errorf("it was told of %s", other)
				}
			}
		}
		select {
		case <-first.stopped:
			t.Error("it stopped acting")
		default:
		}
		first.kill()
		<-first.done
		time.Sleep(7 * time.Second)
		if !second.acts() || len(second.rivals) != 0 {
			t.Errorf("the second agent was told of %d others, or does not act", len(second.rivals))
		}
		second.kill()
		<-second.done
	})
}

func TestCrashedHoldersLeaseIsWaitedOutByOthersAndNotByItself(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]time.Duration{"crashed": 0, "other": 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			api, holder, seconds := &server{}, "crashed", int32(30)
			// Renewed in the future of a clock that is wrong: only the time since it was seen to change counts.
			renewed := metav1.NewMicroTime(time.Now().Add(time.Hour))
			if _, err := api.Create(t.Context(), &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{
				HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &renewed,
			}}, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			a := start(t.Context(), api, name)
			if took := (<-a.started).Sub(begun); took < wait || took > wait+6*time.Second {
				t.Errorf("%s acts after %s, want %s", name, took, wait)
			}
			a.kill()
			<-a.done
		})
	}
}

func TestNameOfAWaitingAgentIsNoSignOfTheHoldersLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, holder, seconds := &server{}, "crashed", int32(30)
		renewed, err := api.Create(t.Context(), &coordinationv1.Lease{
			Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds},
		}, metav1.CreateOptions{})
		a := start(t.Context(), api, "a")
		for range 5 {
			time.Sleep(5 * time.Second)
			if err == nil {
				renewed, err = api.Update(t.Context(), renewed, metav1.UpdateOptions{})
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		crashed := time.Now()
		if took := (<-a.started).Sub(crashed); took < 30*time.Second || took > 41*time.Second {
			t.Errorf("it acts %s after the holder's last renewal, want 30s and at most two looks", took)
		}
		if api.notes != 1 || len(api.lease.Annotations) != 0 {
			t.Errorf("it said %d times that it waits; now the Lease says %v", api.notes, api.lease.Annotations)
		}
		a.kill()
		<-a.done
	})
}

func TestAgentThatCannotRenewStopsBeforeAnotherMayAct(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &server{}
		a := start(t.Context(), api, "a")
		begun := <-a.started
		api.set(errors.New("connection refused"))
		if took := (<-a.stopped).Sub(begun); took != 20*time.Second {
			t.Errorf("it acted for %s after the last renewal, want 20s", took)
		}
		api.set(nil)
		time.Sleep(6 * time.Second)
		if !a.acts() {
			t.Error("it does not act again when the API server is back")
		}
		a.kill()
		<-a.done
	})
}

func TestAgentWhoseLeaseWasTakenStopsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &server{}
		a := start(t.Context(), api, "a")
		<-a.started
		thief := "thief"
		taken, _ := api.Get(t.Context(), "flotilla-spoke", metav1.GetOptions{})
		taken.Spec.HolderIdentity = &thief
		begun := time.Now()
		if _, err := api.Update(t.Context(), taken, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if took := (<-a.stopped).Sub(begun); took > 13*time.Second {
			t.Errorf("it acted on for %s", took)
		}
		a.kill()
		<-a.done
		if got := api.holder(); got != thief {
			t.Errorf("the Lease is %q's, want the thief's", got)
		}
	})
}

func TestBriefOutageOfTheAPIServerIsRiddenOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &server{}
		a := start(t.Context(), api, "a")
		<-a.started
		for range 20 {
			api.set(errors.New("connection refused"))
			time.Sleep(7 * time.Second)
			api.set(nil)
			time.Sleep(5 * time.Second)
		}
		select {
		case <-a.stopped:
			t.Error("it stopped acting")
		default:
		}
		a.kill()
		<-a.done
		if got := api.holder(); got != "" {
			t.Errorf("after the end the Lease is %q's, want nobody's", got)
		}
	})
}

func TestAgentThatEndsBeforeItsFirstRenewalGivesTheLeaseBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &server{}
		a := start(t.Context(), api, "a")
		<-a.started
		a.kill()
		<-a.done
		if got := api.holder(); got != "" {
			t.Errorf("after the end the Lease is %q's, want nobody's", got)
		}
	})
}

func TestRunReturnsWhatActReturns(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	err := lease.Run(t.Context(), lease.Config{Leases: &server{}, Name: "l", Holder: "a"}, func(context.Context) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("Run = %v, want %v", err, broken)
	}
}
