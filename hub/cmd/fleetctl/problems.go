package main

import (
	"errors"
	"fmt"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// problems collects what is wrong with documents, a line each, so that all of it is told at once.
type problems []string

// add records every problem in err, which the document at where has.
func (p *problems) add(where fmt.Stringer, object string, err error) {
	for _, line := range flatten(err) {
		text := line
		if object != "" && !strings.HasPrefix(line, object) {
			text = object + ": " + line
		}
		*p = append(*p, where.String()+": "+text)
	}
}

// flatten is the problems that err holds, one by one.
func flatten(err error) []string {
	var lines []string
	var walk func(error)
	walk = func(err error) {
		var field *fleet.FieldError
		switch wrapped := err.(type) {
		case *fleet.FieldError:
			lines = append(lines, wrapped.Error())
		case interface{ Unwrap() []error }:
			if !errors.As(err, &field) {
				lines = append(lines, err.Error())
				return
			}
			for _, inner := range wrapped.Unwrap() {
				walk(inner)
			}
		case interface{ Unwrap() error }:
			if !errors.As(err, &field) {
				lines = append(lines, err.Error())
				return
			}
			walk(wrapped.Unwrap())
		default:
			lines = append(lines, err.Error())
		}
	}
	walk(err)
	return lines
}

// failure tells all problems at once.
func (p problems) failure(what string, code exitCode) *failure {
	f := &failure{code: code, what: fmt.Sprintf("%s: %s", what, count(len(p), "problem")), next: "mend the above and run it again"}
	for _, line := range p {
		f.why += line + "\n"
	}
	return f
}
