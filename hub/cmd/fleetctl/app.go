package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/config"
)

// defaultNamespace is the one meant when neither flag, environment nor context names one, as in Flux.
const defaultNamespace = "flux-system"

// callTimeout bounds one answer of the hub where --timeout does not; followTimeout bounds what waits for clusters.
const (
	callTimeout   = 30 * time.Second
	followTimeout = 5 * time.Minute
)

// app is what commands share: the process around them, the settings they were started with, and how to reach the hub.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	// Which of the three are a person's terminal.
	stdinTTY, stdoutTTY, stderrTTY bool

	env   func(string) string
	now   func() time.Time
	pause func(context.Context, time.Duration) error
	dial  dialer
	// withTimeout is context.WithTimeout.
	withTimeout func(context.Context, time.Duration) (context.Context, context.CancelFunc)

	flags globalFlags
	// given are the global flags that the person set, on the command line or by environment.
	given map[string]bool
	// outputByEnv says that only the environment asks for a format: a command without it passes over that.
	outputByEnv bool

	narrating sync.Mutex
	// asked are the changes that were asked of the hub: an interrupt does not stop them.
	asked changes

	settingsOnce sync.Once
	settingsErr  error
	configPath   string
	config       *config.Config
	context      config.Context

	conn *grpc.ClientConn
}

// run executes one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	a.given = map[string]bool{}
	root := newRootCommand(a)
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return int(exitDone)
	case errors.Is(err, errDifferent) && ctx.Err() == nil:
		return int(exitDifferent)
	}
	return int(a.report(ctx, err))
}

// settings loads the configuration and the context that is meant, once.
func (a *app) settings() error {
	a.settingsOnce.Do(func() { a.settingsErr = a.loadSettings() })
	return a.settingsErr
}

func (a *app) loadSettings() error {
	path, err := config.Path(a.env)
	if err != nil {
		return &failure{code: exitUsage, what: "no place for the configuration", why: err.Error(), next: "set FLOTILLA_CONFIG"}
	}
	a.configPath = path
	if a.config, err = config.Load(path); err != nil {
		return &failure{code: exitUsage, what: "cannot read the configuration", why: err.Error(), next: "mend the file, or name another one in FLOTILLA_CONFIG"}
	}
	name := cmp.Or(a.flags.context, a.config.CurrentContext)
	if name == "" {
		return nil
	}
	found := a.config.Find(name)
	if found == nil {
		return &failure{
			code: exitUsage, what: "there is no context " + name, why: path + " does not have it",
			next: "fleetctl config get-contexts",
		}
	}
	a.context = *found
	return nil
}

// namespace is the one meant when an argument names none.
func (a *app) namespace() string {
	return cmp.Or(a.flags.namespace, a.context.Namespace, defaultNamespace)
}

// bounded gives ctx the deadline of --timeout, or else of def; 0 is none.
func (a *app) bounded(ctx context.Context, def time.Duration) (context.Context, context.CancelFunc) {
	limit := def
	if a.given["timeout"] {
		limit = a.flags.timeout
	}
	if limit <= 0 {
		return context.WithCancel(ctx)
	}
	return a.withTimeout(ctx, limit)
}
