package fleet

import "errors"

// Sentinels that carry a decision across package borders. They are wrapped with the operation and its object; a
// caller asks with errors.Is, and the edge maps them to wire codes.
var (
	// ErrNotFound says that the named thing does not exist, or that the caller may not know of it.
	ErrNotFound = errors.New("not found")
	// ErrExists says that the thing to be made is already there.
	ErrExists = errors.New("already exists")
	// ErrInvalid says that the input breaks a rule; the same input will never do.
	ErrInvalid = errors.New("invalid")
	// ErrConflict says that the thing changed, or is used, in a way that forbids the operation now.
	ErrConflict = errors.New("conflict")
	// ErrUnauthenticated says that it is not known who calls.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrDenied says that the caller may not do this.
	ErrDenied = errors.New("denied")
	// ErrUnavailable says that something the operation needs, such as the database, does not answer now.
	ErrUnavailable = errors.New("not available now")
	// ErrTerminal says that no retry can help until something is changed by a person.
	ErrTerminal = errors.New("needs a change")
)
