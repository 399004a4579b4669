package helm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"flotilla.dev/flotilla/pkg/fleet"
)

const (
	// appLabel marks the ConfigMaps of all records; its value is the hash in their names.
	appLabel      = "fleet.flotilla.dev/helm-release"
	appAnnotation = "fleet.flotilla.dev/app"
	recordKey     = "record"
	recordPage    = 50
)

// store keeps records in the ConfigMaps of a namespace, one each. It expects to be the only one who writes them, and
// notices when it is not.
type store struct {
	client typedcorev1.ConfigMapInterface
}

// stored is a record as it is in the cluster.
type stored struct {
	app    fleet.Key
	record record
	// broken says why it cannot be read. It is then neither written nor acted upon.
	broken error
	// version is the ConfigMap's resourceVersion, content what it holds; empty: there is none.
	version, content string
}

// list reads all records. What names no App is nobody's.
func (s *store) list(ctx context.Context) (all []stored, err error) {
	options := metav1.ListOptions{LabelSelector: appLabel, Limit: recordPage}
	for {
		page, err := s.client.List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("list records of Helm releases: %w", err)
		}
		for i := range page.Items {
			if app, err := fleet.ParseKey(page.Items[i].Annotations[appAnnotation]); err == nil {
				all = append(all, read(app, &page.Items[i]))
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return all, nil
		}
	}
}

// load reads the record of one App; without one it is empty.
func (s *store) load(ctx context.Context, app fleet.Key) (stored, error) {
	cm, err := s.client.Get(ctx, recordName(app), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return stored{app: app}, nil
	}
	if err != nil {
		return stored{}, fmt.Errorf("read the record of %s: %w", app.Words(), err)
	}
	return read(app, cm), nil
}

func read(app fleet.Key, cm *corev1.ConfigMap) stored {
	s := stored{app: app, version: cm.ResourceVersion, content: cm.Data[recordKey]}
	if err := json.Unmarshal([]byte(s.content), &s.record); err != nil {
		s.broken = fmt.Errorf("ConfigMap/%s/%s: %w: %w; restore its content, or delete it: the release is taken up again then, by an upgrade",
			cm.Namespace, cm.Name, fleet.ErrInvalid, err)
	}
	return s
}

// save writes a record, if it is another one than in the cluster. The error wraps fleet.ErrConflict when somebody else wrote
// it: it has to be loaded again then.
func (s *store) save(ctx context.Context, to *stored) error {
	if to.broken != nil {
		return to.broken
	}
	data, err := to.record.encode()
	if err != nil {
		return fmt.Errorf("record of %s: %w", to.app.Words(), err)
	}
	if string(data) == to.content {
		return nil
	}
	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name: recordName(to.app), ResourceVersion: to.version,
			Labels:      map[string]string{appLabel: hash(to.app), "app.kubernetes.io/managed-by": "flotilla"},
			Annotations: map[string]string{appAnnotation: to.app.String()},
		},
		Data: map[string]string{recordKey: string(data)},
	}
	const attempts = 3
	for attempt := 1; ; attempt++ {
		written, err := s.put(ctx, cm)
		switch {
		case err == nil:
			to.version, to.content = written.ResourceVersion, string(data)
			return nil
		case attempt == attempts, !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err):
			return fmt.Errorf("save the record of %s: %w", to.app.Words(), err)
		}
		if err := s.reconcile(ctx, cm, to.content); err != nil {
			return fmt.Errorf("save the record of %s: %w", to.app.Words(), err)
		}
	}
}

func (s *store) put(ctx context.Context, cm *corev1.ConfigMap) (*corev1.ConfigMap, error) {
	if cm.ResourceVersion == "" {
		return s.client.Create(ctx, cm, metav1.CreateOptions{})
	}
	return s.client.Update(ctx, cm, metav1.UpdateOptions{})
}

// reconcile finds the resourceVersion to write a record under, after it was not the expected one. That is fine where the
// content is what was last written, or what was to be written now and its answer was lost, or where somebody deleted it.
func (s *store) reconcile(ctx context.Context, cm *corev1.ConfigMap, known string) error {
	live, err := s.client.Get(ctx, cm.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		cm.ResourceVersion = ""
		return nil
	}
	if err != nil {
		return err
	}
	content := live.Data[recordKey]
	if live.Annotations[appAnnotation] != cm.Annotations[appAnnotation] || content != known && content != cm.Data[recordKey] {
		return fmt.Errorf("%w: somebody else wrote ConfigMap/%s", fleet.ErrConflict, cm.Name)
	}
	cm.ResourceVersion = live.ResourceVersion
	return nil
}

// drop removes the record of an App; its release stays as it is, without an owner.
func (s *store) drop(ctx context.Context, app fleet.Key) error {
	cm, err := s.client.Get(ctx, recordName(app), metav1.GetOptions{})
	if err == nil && cm.Annotations[appAnnotation] == app.String() {
		err = s.client.Delete(ctx, cm.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &cm.UID}})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("drop the record of %s: %w", app.Words(), err)
	}
	return nil
}

// hash is the part of the ConfigMaps' names that tells Apps apart: a key has characters that names may not have.
func hash(app fleet.Key) string {
	sum := sha256.Sum256([]byte(app.String()))
	return hex.EncodeToString(sum[:8])
}

func recordName(app fleet.Key) string { return "helm-release-" + hash(app) }
