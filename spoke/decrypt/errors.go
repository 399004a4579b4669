package decrypt

import (
	"errors"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Why something is not decrypted. All but ErrService wrap fleet.ErrInvalid: the same document and the same keys give the
// same error.
var (
	// ErrNoKey says that none of the keys at hand opens a document, and which it was encrypted for.
	ErrNoKey = fmt.Errorf("%w: no key to decrypt it", fleet.ErrInvalid)
	// ErrDamaged says that a document is not what SOPS has encrypted.
	ErrDamaged = fmt.Errorf("%w: damaged, or changed after it was encrypted", fleet.ErrInvalid)
	// ErrNotSOPS says that something has the mark of SOPS and is no document of it.
	ErrNotSOPS = fmt.Errorf("%w: not a SOPS document", fleet.ErrInvalid)
	// ErrBadKey says that a key in the Secret of keys cannot be used.
	ErrBadKey = fmt.Errorf("%w: unusable key", fleet.ErrInvalid)
	// ErrTooLarge says that a document has more bytes, values or levels than it may have.
	ErrTooLarge = fmt.Errorf("%w: too large", fleet.ErrInvalid)
	// ErrService says that a key service refused, or could not be asked.
	ErrService = errors.New("key service")
)

var (
	errNoMetadata = errors.New("it has no metadata of SOPS")
	errNotJSON    = errors.New("it is not JSON")
	errTooMuch    = fmt.Errorf("%w: it has more than %d values, or more than %d levels", ErrTooLarge, maxValues, maxDepth)
)
