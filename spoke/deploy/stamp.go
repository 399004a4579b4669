package deploy

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"flotilla.dev/flotilla/pkg/fleet"
)

// stamps name applied content in the inventory. A Secret's, and one with values of Secrets, is named by a keyed hash: who
// may read ConfigMaps must not be able to try out what a Secret holds. Should the key be lost, each of them is applied once more.
type stamps struct {
	mu  sync.Mutex
	key []byte
}

const (
	stampSecret = "inventory-key"
	stampKey    = "key"
	stampSize   = 32
)

// load reads the key from the spoke's namespace, or makes it.
func (s *stamps) load(ctx context.Context, secrets typedcorev1.SecretInterface) error {
	for {
		secret, err := secrets.Get(ctx, stampSecret, metav1.GetOptions{})
		if err == nil && len(secret.Data[stampKey]) >= stampSize {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.key = secret.Data[stampKey]
			return nil
		}
		if err == nil {
			return fmt.Errorf("read Secret/%s/%s: %w: it has no %q of %d bytes; delete it: a new one is made, and every Secret applied once more",
				secret.Namespace, stampSecret, fleet.ErrInvalid, stampKey, stampSize)
		}
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("read Secret/%s: %w", stampSecret, err)
		}
		key := make([]byte, stampSize)
		_, _ = rand.Read(key) // never fails
		_, err = secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: stampSecret, Labels: map[string]string{"app.kubernetes.io/managed-by": "flotilla"}},
			Data:       map[string][]byte{stampKey: key},
		}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create Secret/%s: %w", stampSecret, err)
		}
	}
}

// of names the content of an object; secret says that it has values of Secrets, though the object may be no Secret.
func (s *stamps) of(ref fleet.ObjectRef, content fleet.Digest, secret bool) fleet.Digest {
	if !secret && !isSecret(ref) {
		return content
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	mac := hmac.New(sha256.New, s.key)
	_, _ = mac.Write(content[:]) // a hash never fails
	return fleet.Digest(mac.Sum(nil))
}

func isSecret(ref fleet.ObjectRef) bool { return ref.Group == "" && ref.Kind == "Secret" }
