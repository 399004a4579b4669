package helm

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/account"
	"flotilla.dev/flotilla/spoke/apply"
)

// opened is what a version has, while somebody needs them.
type opened struct {
	users int // under app.mu
	done  chan struct{}
	read  edition
	all   [][]byte // documents of the manifest
	err   error
}

// errChanged says that what Helm has stored is not what was read before: a pass will look at it.
var errChanged = errors.New("what Helm has stored has changed")

// open returns the content of an object. Who needs others of the App's at the same time shares what is read.
func (e *Engine) open(ctx context.Context, a *app, o *objects, by *account.Account, ref fleet.ObjectRef) ([]byte, error) {
	a.mu.Lock()
	c := o.opened
	first := c == nil
	if first {
		c = &opened{done: make(chan struct{})}
		o.opened = c
	}
	c.users++
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		if c.users--; c.users == 0 && o.opened == c {
			o.opened = nil
		}
		a.mu.Unlock()
	}()
	if first {
		if c.read, _, c.err = e.stored(ctx, by, o.secret); c.err == nil {
			c.err = c.read.documents(func(document []byte, _ int) error {
				c.all = append(c.all, document)
				return nil
			})
			c.read.Manifest = "" // the documents are it
		}
		close(c.done)
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if c.err != nil {
		return nil, c.err
	}
	wanted := o.all[ref]
	if wanted.document < len(c.all) {
		found, err := c.read.parse(c.all[wanted.document], wanted.document, 0)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ref, err)
		}
		for _, one := range found {
			if fleet.DigestOf(one.data) == wanted.digest {
				return one.data, nil
			}
		}
	}
	return nil, fmt.Errorf("%s: %w", ref, errChanged)
}

// stored reads the version that a Secret of Helm's has, as the App's account, and at which resourceVersion.
func (e *Engine) stored(ctx context.Context, by *account.Account, secret fleet.ObjectRef) (read edition, at string, err error) {
	packed, at, err := e.packed(ctx, by, secret)
	if err != nil {
		return read, "", err
	}
	if read, err = unpack(packed); err != nil {
		return read, "", fmt.Errorf("%s: %w", secret, err)
	}
	return read, at, nil
}

// packed reads what a Secret of Helm's has, as the App's account, and at which resourceVersion.
func (e *Engine) packed(ctx context.Context, by *account.Account, secret fleet.ObjectRef) (packed []byte, at string, err error) {
	live, err := by.Dynamic.Resource(secrets).Namespace(secret.Namespace).Get(ctx, secret.Name, metav1.GetOptions{})
	if err != nil {
		return nil, "", by.Blame(ctx, e.client, apply.Explain(secret, "get", err))
	}
	data, _ := live.Object["data"].(map[string]any)
	encoded, _ := data["release"].(string)
	if packed, err = base64.StdEncoding.DecodeString(encoded); err != nil {
		return nil, "", fmt.Errorf("%s: %w: it is not as Helm packs it", secret, fleet.ErrInvalid)
	}
	return packed, live.GetResourceVersion(), nil
}
