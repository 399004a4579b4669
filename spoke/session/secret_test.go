package session

import (
	"context"
	"errors"
	"reflect"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
)

// secrets are the API server's part: one Secret with a resourceVersion.
type secrets struct {
	secret        *corev1.Secret
	reads, writes int
	// meanwhile runs after a Get, as another client would.
	meanwhile func()
}

var secretResource = schema.GroupResource{Resource: "secrets"}

func (s *secrets) Get(_ context.Context, name string, _ metav1.GetOptions) (*corev1.Secret, error) {
	s.reads++
	if s.meanwhile != nil {
		defer s.meanwhile()
	}
	if s.secret == nil {
		return nil, apierrors.NewNotFound(secretResource, name)
	}
	return s.secret.DeepCopy(), nil
}

func (s *secrets) Create(_ context.Context, secret *corev1.Secret, _ metav1.CreateOptions) (*corev1.Secret, error) {
	if s.secret != nil {
		return nil, apierrors.NewAlreadyExists(secretResource, secret.Name)
	}
	return s.write(secret), nil
}

func (s *secrets) Update(_ context.Context, secret *corev1.Secret, _ metav1.UpdateOptions) (*corev1.Secret, error) {
	if s.secret == nil {
		return nil, apierrors.NewNotFound(secretResource, secret.Name)
	}
	if s.secret.ResourceVersion != secret.ResourceVersion {
		return nil, apierrors.NewConflict(secretResource, secret.Name, errors.New("changed"))
	}
	return s.write(secret), nil
}

func (s *secrets) write(secret *corev1.Secret) *corev1.Secret {
	s.writes++
	s.secret = secret.DeepCopy()
	s.secret.ResourceVersion = strconv.Itoa(s.writes)
	return s.secret.DeepCopy()
}

func someIdentity() Identity {
	return Identity{
		ClusterID: uuid.New(), ClusterName: "prod-1", Key: []byte("key"), Certificate: []byte("certificate"),
		EnrolKey: []byte("another key"), EnrolToken: "t1", Pin: fleet.Digest{1},
		SigningKeys: []identity.StatePublicKey{identity.NewStatePublicKey(make([]byte, 32))}, Mark: fleet.StateID{Epoch: 2, Version: 7},
	}
}

func TestIdentitySurvivesInTheSecretAndIsWrittenOnlyWhenItChanges(t *testing.T) {
	t.Parallel()
	api := &secrets{}
	store := NewSecret(api, "flotilla-spoke")
	if got, err := store.Load(t.Context()); err != nil || !reflect.DeepEqual(got, Identity{}) {
		t.Errorf("of no Secret comes %+v, %v", got, err)
	}
	want := someIdentity()
	for range 2 {
		if got, err := store.Update(t.Context(), func(i *Identity) { *i = want }); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Update = %+v, %v", got, err)
		}
	}
	if got, err := store.Load(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Load = %+v, %v, want %+v", got, err, want)
	}
	if api.writes != 1 {
		t.Errorf("%d writes, want 1", api.writes)
	}
}

func TestSecretThatAnotherWroteIsNotOverwritten(t *testing.T) {
	t.Parallel()
	for name, there := range map[string]*corev1.Secret{"created": nil, "changed": {ObjectMeta: metav1.ObjectMeta{Name: "s", ResourceVersion: "0"}}} {
		api := &secrets{secret: there}
		api.meanwhile = func() { api.write(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}}) }
		_, err := NewSecret(api, "s").Update(t.Context(), func(i *Identity) { i.ClusterName = "x" })
		if !errors.Is(err, fleet.ErrConflict) || len(api.secret.Data) != 0 {
			t.Errorf("%s meanwhile: %v, data %v", name, err, api.secret.Data)
		}
	}
}

func TestSecretIsReadAgainOnlyWhenItIsNotAsItWasWrittenLast(t *testing.T) {
	t.Parallel()
	api := &secrets{}
	store := NewSecret(api, "s")
	advance := func(version uint64) Identity {
		t.Helper()
		got, err := store.Update(t.Context(), func(i *Identity) { i.Mark = fleet.StateID{Epoch: 1, Version: version} })
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for version := range uint64(3) {
		advance(version + 1)
	}
	if api.reads != 1 || api.writes != 3 {
		t.Errorf("%d reads and %d writes of three changes", api.reads, api.writes)
	}
	theirs := someIdentity()
	api.write(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Data: encodeIdentity(theirs)})
	if got := advance(8); got.ClusterID != theirs.ClusterID || got.Mark.Version != 8 {
		t.Errorf("what another wrote is lost: %+v", got)
	}
	api.secret = nil
	if got := advance(9); got.ClusterID != uuid.Nil || got.Mark.Version != 9 {
		t.Errorf("what was deleted is back: %+v", got)
	}
}

func TestSecretThatIsSpoiltIsAnErrorAndNoReasonToEnrolAnew(t *testing.T) {
	t.Parallel()
	good := encodeIdentity(someIdentity())
	for _, key := range []string{secretClusterID, secretCertificate, secretPin, secretSigningKeys, secretMark} {
		data := map[string][]byte{}
		for k, v := range good {
			data[k] = v
		}
		data[key] = []byte("x")
		if _, err := NewSecret(&secrets{secret: &corev1.Secret{Data: data}}, "s").Load(t.Context()); !errors.Is(err, fleet.ErrInvalid) {
			t.Errorf("%s spoilt: %v, want %v", key, err, fleet.ErrInvalid)
		}
	}
}

func TestUpdateWaitsForAnotherNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		held, release := make(chan struct{}), make(chan struct{})
		api := &secrets{meanwhile: func() { close(held); <-release }}
		s := NewSecret(api, "spoke")
		done := make(chan error)
		go func() {
			_, err := s.Update(t.Context(), func(*Identity) {})
			done <- err
		}()
		<-held
		ctx, cancel := context.WithTimeout(t.Context(), markPatience)
		defer cancel()
		if _, err := s.Update(ctx, func(*Identity) {}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Spokes kept the certificate before the newest in the Secret once.
func TestSecretWithKeysThatAreNotKnownIsRead(t *testing.T) {
	t.Parallel()
	want := someIdentity()
	data := encodeIdentity(want)
	data["previous.key"], data["previous.crt"] = []byte("key"), []byte("no PEM")
	store := NewSecret(&secrets{secret: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1"}, Data: data}}, "s")
	if got, err := store.Load(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Load = %+v, %v, want %+v", got, err, want)
	}
	want.Mark.Version++
	if got, err := store.Update(t.Context(), func(i *Identity) { i.Mark = want.Mark }); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Update = %+v, %v, want %+v", got, err, want)
	}
}
