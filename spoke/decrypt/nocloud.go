//go:build !cloudkms

package decrypt

import (
	"context"
	"errors"
	"fmt"
)

// cloud are the credentials of key services. This build has no client for them.
type cloud struct{}

// add takes note of nothing: whether the credentials are needed shows when a document has no other key.
func (*cloud) add(string, []byte) error { return nil }

// open refuses by name what needs a key service.
func (*cloud) open(_ context.Context, key masterKey) ([]byte, error) {
	return nil, fmt.Errorf("%s: %w", key, errNoCloud)
}

var errNoCloud = errors.New("this spoke was built without cloud key services (build it with -tags cloudkms, or encrypt for an age or PGP key too)")
