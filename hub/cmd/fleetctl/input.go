package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
)

// readInput reads from stdin, or gives up when ctx ends; the read itself then ends with the process.
func readInput[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type input struct {
		value T
		err   error
	}
	inputs := make(chan input, 1)
	go func() {
		value, err := read()
		inputs <- input{value, err}
	}()
	select {
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	case got := <-inputs:
		return got.value, got.err
	}
}

// readLine reads what the person types.
func (a *app) readLine(ctx context.Context) (string, error) {
	line, err := readInput(ctx, func() (string, error) { return bufio.NewReader(a.stdin).ReadString('\n') })
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return strings.TrimSpace(line), err
}
