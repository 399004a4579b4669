package run

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// Task blocks until its work is done or ctx ends, and cleans up after itself.
type Task func(ctx context.Context) error

// Named is a Task with the name that its failure is reported under.
type Named struct {
	Name string
	Task Task
}

// All runs the tasks and waits for all of them. The first failure cancels the others, with that failure as the cause
// of their context, and is what All returns. A task that returns nil is done and disturbs nobody. A panic is a failure.
// When ctx ends, its tasks' context errors are no failures: All then returns nil.
func All(ctx context.Context, tasks ...Named) error {
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wait  sync.WaitGroup
		once  sync.Once
		first error
	)
	for _, task := range tasks {
		wait.Go(func() {
			err := Recover(running, task.Task)
			if err == nil || running.Err() != nil && isStop(running, err) {
				return
			}
			once.Do(func() {
				first = fmt.Errorf("%s: %w", task.Name, err)
				cancel(first)
			})
		})
	}
	wait.Wait()
	return first
}

// PanicError is what a panic was turned into.
type PanicError struct {
	Value any
	Stack []byte
}

// Error holds the stack too: a panic is a bug, and this is what a report of it needs.
func (p *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", p.Value, p.Stack) }

// Recover runs the task and turns a panic into a PanicError.
func Recover(ctx context.Context, task Task) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{Value: r, Stack: debug.Stack()}
		}
	}()
	return task(ctx)
}

// isStop reports whether err says no more than that ctx has ended.
func isStop(ctx context.Context, err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Cause(ctx))
}
