package inventory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"flotilla.dev/flotilla/pkg/fleet"
)

const (
	// appLabel marks the ConfigMaps of all inventories; its value is the hash in their names.
	appLabel = "fleet.flotilla.dev/inventory"
	// appAnnotation is the App's key.
	appAnnotation = "fleet.flotilla.dev/app"
	// originAnnotation is the inventory's origin, in each of its shards.
	originAnnotation = "fleet.flotilla.dev/origin"
	objectsKey       = "objects"
	saveParallel     = 4
	maxShards        = 10_000
	listPage         = 50
)

// Store keeps inventories in the ConfigMaps of a namespace. It expects to be the only one who writes them, and notices
// when it is not.
type Store struct {
	client typedcorev1.ConfigMapInterface
}

// NewStore returns a Store that writes by client.
func NewStore(client typedcorev1.ConfigMapInterface) *Store { return &Store{client: client} }

// Apps returns the Apps that have an inventory, ordered.
func (s *Store) Apps(ctx context.Context) ([]fleet.Key, error) {
	inventories, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	keys := make([]fleet.Key, len(inventories))
	for i, inv := range inventories {
		keys[i] = inv.app
	}
	return keys, nil
}

// List reads all inventories, ordered by App. One that cannot be read is there too, and Broken: taken for an empty one
// it would leave objects without an owner.
func (s *Store) List(ctx context.Context) ([]*Inventory, error) {
	return s.list(ctx, appLabel)
}

// Load reads the inventory of one App; an App without one has an empty one.
func (s *Store) Load(ctx context.Context, app fleet.Key) (*Inventory, error) {
	inventories, err := s.list(ctx, appLabel+"="+hash(app))
	if err != nil {
		return nil, err
	}
	for _, inv := range inventories {
		if inv.app == app {
			return inv, nil
		}
	}
	return New(app), nil
}

func (s *Store) list(ctx context.Context, selector string) ([]*Inventory, error) {
	byApp := map[fleet.Key]*Inventory{}
	options := metav1.ListOptions{LabelSelector: selector, Limit: listPage}
	for {
		page, err := s.client.List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("list inventories: %w", err)
		}
		for i := range page.Items {
			take(byApp, &page.Items[i])
		}
		if options.Continue = page.Continue; options.Continue == "" {
			break
		}
	}
	var all []*Inventory
	for _, inv := range byApp {
		all = append(all, inv)
	}
	slices.SortFunc(all, func(a, b *Inventory) int { return a.app.Compare(b.app) })
	return all, nil
}

// take adds a ConfigMap to the inventory it belongs to. One that names no App is nobody's; should it have an App's
// place, the App's first save fails on it.
func take(byApp map[fleet.Key]*Inventory, cm *corev1.ConfigMap) {
	app, err := fleet.ParseKey(cm.Annotations[appAnnotation])
	if err != nil {
		return
	}
	inv := byApp[app]
	if inv == nil {
		inv = New(app)
		byApp[app] = inv
	}
	if err := inv.take(cm); err != nil {
		inv.broken = fmt.Errorf("inventory in ConfigMap/%s/%s: %w; restore its content, or delete it: "+
			"what Git still has is then taken up again, and what it has no more stays in the cluster", cm.Namespace, cm.Name, err)
	}
}

func (inv *Inventory) take(cm *corev1.ConfigMap) error {
	digits, found := strings.CutPrefix(cm.Name, prefix(inv.app))
	n, err := strconv.Atoi(digits)
	if !found || err != nil || n < 0 || n > maxShards {
		return fmt.Errorf("%w: the name is not that of a shard of %s", fleet.ErrInvalid, inv.app.Words())
	}
	entries, err := decode(cm.Data[objectsKey])
	if err != nil {
		return err
	}
	for len(inv.shards) <= n {
		inv.shards = append(inv.shards, &shard{}) // those between were removed when they had become empty
	}
	if origin := cm.Annotations[originAnnotation]; origin != "" {
		inv.origin = origin
	}
	inv.shards[n] = &shard{version: cm.ResourceVersion, content: fleet.DigestOf([]byte(cm.Data[objectsKey]))}
	for _, entry := range entries {
		id := entry.Ref.ID()
		if other := inv.items[id]; other != nil {
			// A crash between two shards left it in both. What they agree on is certain.
			merged := merge(other.Entry, entry)
			inv.shards[n].dirty = true
			inv.shards[other.shard].size += cost(merged) - cost(other.Entry)
			other.Entry = merged
			continue
		}
		inv.items[id] = &item{entry, n}
		inv.shards[n].size += cost(entry)
	}
	return nil
}

func merge(a, b Entry) Entry {
	if a.UID != b.UID {
		a.UID = ""
	}
	if a.Applied != b.Applied {
		a.Applied = fleet.Digest{}
	}
	a.Kept = a.Kept || b.Kept
	a.Protected = a.Protected || b.Protected
	a.Fresh = a.Fresh && b.Fresh
	a.Going = a.Going && b.Going
	return a
}

// Save writes the shards that changed since they were read or written. The error wraps fleet.ErrConflict when somebody
// else wrote one: the inventory has to be loaded again then.
func (s *Store) Save(ctx context.Context, inv *Inventory) error {
	if inv.broken != nil {
		return inv.broken
	}
	inv.saving.Lock()
	defer inv.saving.Unlock()
	inv.mu.Lock()
	dirty := map[int]*batch{}
	for n, sh := range inv.shards {
		if sh.dirty {
			dirty[n] = &batch{number: n, shard: sh}
		}
	}
	if len(dirty) == 0 {
		inv.mu.Unlock()
		return nil
	}
	for _, it := range inv.items {
		if b := dirty[it.shard]; b != nil {
			b.entries = append(b.entries, it.Entry)
		}
	}
	for _, b := range dirty {
		b.shard.dirty = false
	}
	origin := inv.origin
	inv.mu.Unlock()

	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(saveParallel)
	for _, b := range dirty {
		group.Go(func() error {
			err := s.write(ctx, inv.app, origin, b)
			if err != nil {
				inv.mu.Lock()
				b.shard.dirty = true
				inv.mu.Unlock()
			}
			return err
		})
	}
	return group.Wait()
}

// batch is a shard to be written. Its shard's version is touched by saves only, which exclude each other.
type batch struct {
	number  int
	shard   *shard
	entries []Entry
}

func (s *Store) write(ctx context.Context, app fleet.Key, origin string, b *batch) error {
	slices.SortFunc(b.entries, func(x, y Entry) int { return x.Ref.Compare(y.Ref) })
	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name:            prefix(app) + strconv.Itoa(b.number),
			ResourceVersion: b.shard.version,
			Labels:          map[string]string{appLabel: hash(app), "app.kubernetes.io/managed-by": "flotilla"},
			Annotations:     map[string]string{appAnnotation: app.String()},
		},
		Data: map[string]string{objectsKey: encode(b.entries)},
	}
	if origin != "" {
		cm.Annotations[originAnnotation] = origin
	}
	if len(b.entries) == 0 {
		cm.Data = nil
	}
	const attempts = 3
	for attempt := 1; ; attempt++ {
		written, err := s.put(ctx, cm)
		switch {
		case err == nil:
			b.shard.version, b.shard.content = written.ResourceVersion, fleet.DigestOf([]byte(cm.Data[objectsKey]))
			return nil
		case attempt == attempts, !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err):
			return fmt.Errorf("save inventory of %s: %w", app.Words(), err)
		}
		if err := s.reconcile(ctx, cm, b.shard.content); err != nil {
			return fmt.Errorf("save inventory of %s: %w", app.Words(), err)
		}
	}
}

// put writes a shard under the resourceVersion it was last seen at; one without entries is deleted.
func (s *Store) put(ctx context.Context, cm *corev1.ConfigMap) (*corev1.ConfigMap, error) {
	switch {
	case cm.Data != nil && cm.ResourceVersion == "":
		return s.client.Create(ctx, cm, metav1.CreateOptions{})
	case cm.Data != nil:
		return s.client.Update(ctx, cm, metav1.UpdateOptions{})
	case cm.ResourceVersion == "":
		return &corev1.ConfigMap{}, nil
	}
	return &corev1.ConfigMap{}, s.client.Delete(ctx, cm.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{ResourceVersion: &cm.ResourceVersion},
	})
}

// reconcile finds the resourceVersion to write a shard under, after it was not the expected one. That is fine where
// the content is what was last written, or what was to be written now and its answer was lost, or where somebody
// deleted the shard. Otherwise there is another writer.
func (s *Store) reconcile(ctx context.Context, cm *corev1.ConfigMap, known fleet.Digest) error {
	live, err := s.client.Get(ctx, cm.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		cm.ResourceVersion = ""
		return nil
	}
	if err != nil {
		return err
	}
	content := live.Data[objectsKey]
	if live.Annotations[appAnnotation] != cm.Annotations[appAnnotation] ||
		fleet.DigestOf([]byte(content)) != known && content != cm.Data[objectsKey] {
		return fmt.Errorf("%w: somebody else wrote ConfigMap/%s", fleet.ErrConflict, cm.Name)
	}
	cm.ResourceVersion = live.ResourceVersion
	return nil
}

// Drop removes the inventory of an App; its objects stay as they are, without an owner.
func (s *Store) Drop(ctx context.Context, app fleet.Key) error {
	list, err := s.client.List(ctx, metav1.ListOptions{LabelSelector: appLabel + "=" + hash(app)})
	if err != nil {
		return fmt.Errorf("list inventory of %s: %w", app.Words(), err)
	}
	var problems []error
	for _, cm := range list.Items {
		if cm.Annotations[appAnnotation] != app.String() {
			continue
		}
		err := s.client.Delete(ctx, cm.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &cm.UID}})
		if err != nil && !apierrors.IsNotFound(err) {
			problems = append(problems, fmt.Errorf("drop inventory of %s: %w", app.Words(), err))
		}
	}
	return errors.Join(problems...)
}

// hash is the part of the ConfigMaps' names that tells Apps apart: a key has characters that names may not have.
func hash(app fleet.Key) string {
	sum := sha256.Sum256([]byte(app.String()))
	return hex.EncodeToString(sum[:8])
}

func prefix(app fleet.Key) string { return "inventory-" + hash(app) + "-" }
