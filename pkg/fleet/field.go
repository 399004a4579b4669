package fleet

import (
	"errors"
	"fmt"
)

// FieldError is a rule that one field of a declared object breaks.
type FieldError struct {
	// Path as in YAML, such as "spec.ref.branch"; empty: the whole object.
	Path string
	// Problem says what is wrong and, where it is not obvious, what would do.
	Problem string
}

// Error is "path: problem".
func (e *FieldError) Error() string {
	if e.Path == "" {
		return e.Problem
	}
	return e.Path + ": " + e.Problem
}

// Unwrap makes every FieldError an ErrInvalid.
func (e *FieldError) Unwrap() error { return ErrInvalid }

// Fields collects FieldErrors.
type Fields []error

// Refuse records that the field at path breaks a rule.
func (f *Fields) Refuse(path, format string, args ...any) {
	*f = append(*f, &FieldError{Path: path, Problem: fmt.Sprintf(format, args...)})
}

// Require records a problem when value is empty.
func (f *Fields) Require(path, value string) {
	if value == "" {
		f.Refuse(path, "is required")
	}
}

// Err joins what was recorded; nil when nothing was.
func (f Fields) Err() error { return errors.Join(f...) }
