package artifact

import (
	"errors"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
)

// InvalidError says what no Tree can hold, or what is wrong with patterns. It wraps fleet.ErrInvalid.
type InvalidError struct {
	// Path is that of the file; it is empty for what is wrong with all of them together, and with patterns.
	Path string
	// Text says what is wrong.
	Text string
}

// Message is the text of an error of this package without the word of fleet.ErrInvalid: people need not be told what sort
// it is.
func Message(err error) string {
	var worded interface{ Message() string }
	if errors.As(err, &worded) {
		return worded.Message()
	}
	return err.Error()
}

func (e *InvalidError) Error() string { return fleet.ErrInvalid.Error() + ": " + e.Message() }

// Message is Error without the word of fleet.ErrInvalid.
func (e *InvalidError) Message() string {
	if e.Path == "" {
		return e.Text
	}
	return fmt.Sprintf("path %q: %s", cut(e.Path), e.Text)
}

// Unwrap implements errors.Unwrap.
func (e *InvalidError) Unwrap() error { return fleet.ErrInvalid }

// invalid is an InvalidError of a file, or of none.
func invalid(path, format string, args ...any) error {
	return &InvalidError{Path: path, Text: fmt.Sprintf(format, args...)}
}
