package lease

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/telemetry"
)

// take takes or renews the Lease when it is free, this agent's, or has not changed for as long as it lives; otherwise
// it returns whose it is. Written with a precondition, so of two that take it at once one has it.
func (l *holder) take(ctx context.Context) (other string, err error) {
	begun := time.Now()
	if l.lease == nil {
		if err := l.read(ctx); err != nil {
			return "", err
		}
	}
	if l.lease.ResourceVersion == "" {
		l.fill(begun)
		created, err := l.Leases.Create(ctx, l.lease, metav1.CreateOptions{})
		return "", l.wrote(begun, created, err)
	}
	if other := l.heldBy(begun); other != "" {
		l.lease = nil // look again next time
		return other, nil
	}
	rival := l.lease.Annotations[waitingAnnotation]
	delete(l.lease.Annotations, waitingAnnotation)
	l.fill(begun)
	updated, err := l.Leases.Update(ctx, l.lease, metav1.UpdateOptions{})
	if err := l.wrote(begun, updated, err); err != nil {
		return "", err
	}
	if rival != "" && rival != l.Holder {
		l.Log.Warn("another agent waits to act for this cluster; is it deployed twice?", "other", rival)
		if l.Contended != nil {
			l.Contended(rival)
		}
	}
	return "", nil
}

// waitingAnnotation is how an agent that waits for the Lease has its holder know. The holder takes it off.
const waitingAnnotation = "fleet.flotilla.dev/waiting"

// announce puts this agent's name on the Lease of another.
func (l *holder) announce(ctx context.Context) error {
	defer func() { l.lease = nil }()
	if err := l.read(ctx); err != nil || l.heldBy(time.Now()) == "" {
		return err
	}
	metav1.SetMetaDataAnnotation(&l.lease.ObjectMeta, waitingAnnotation, l.Holder)
	updated, err := l.Leases.Update(ctx, l.lease, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("write Lease %s: %w", l.Name, err)
	}
	l.seen = updated.ResourceVersion // the own write is no sign of the holder's life
	return nil
}

// read fetches the Lease; one that does not exist is prepared.
func (l *holder) read(ctx context.Context) error {
	found, err := l.Leases.Get(ctx, l.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		l.lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: l.Name}}
	case err != nil:
		return fmt.Errorf("get Lease %s: %w", l.Name, err)
	default:
		l.lease = found
	}
	return nil
}

// heldBy returns whose the Lease is, if it is another's that may still act.
func (l *holder) heldBy(now time.Time) string {
	spec := l.lease.Spec
	if spec.HolderIdentity == nil || *spec.HolderIdentity == "" || *spec.HolderIdentity == l.Holder {
		return ""
	}
	if l.seen != l.lease.ResourceVersion {
		l.seen, l.since = l.lease.ResourceVersion, now
	}
	life := l.Duration
	if spec.LeaseDurationSeconds != nil {
		life = time.Duration(*spec.LeaseDurationSeconds) * time.Second
	}
	if now.Sub(l.since) >= life {
		return ""
	}
	return *spec.HolderIdentity
}

// fill makes the Lease this agent's.
func (l *holder) fill(now time.Time) {
	spec := &l.lease.Spec
	at := metav1.NewMicroTime(now)
	if spec.HolderIdentity == nil || *spec.HolderIdentity != l.Holder {
		transitions := int32(1)
		if spec.LeaseTransitions != nil {
			transitions += *spec.LeaseTransitions
		}
		holder := l.Holder
		spec.HolderIdentity, spec.AcquireTime, spec.LeaseTransitions = &holder, &at, &transitions
	}
	seconds := int32(l.Duration / time.Second)
	spec.RenewTime, spec.LeaseDurationSeconds = &at, &seconds
}

// wrote takes note of a write's outcome. After any error the Lease is read again: the write may have landed.
func (l *holder) wrote(begun time.Time, lease *coordinationv1.Lease, err error) error {
	if err != nil {
		l.lease = nil
		return fmt.Errorf("write Lease %s: %w", l.Name, err)
	}
	l.lease, l.renewed = lease, begun
	return nil
}

// release gives the Lease back, so that the next agent need not wait it out.
func (l *holder) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if l.lease == nil || l.lease.Spec.HolderIdentity == nil || *l.lease.Spec.HolderIdentity != l.Holder {
		return
	}
	nobody := ""
	l.lease.Spec.HolderIdentity = &nobody
	if _, err := l.Leases.Update(ctx, l.lease, metav1.UpdateOptions{}); err != nil {
		l.Log.Warn("the Lease cannot be given back; it runs out by itself", telemetry.KeyErr, err)
	}
}
