package process

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"flotilla.dev/flotilla/pkg/confine"
	"flotilla.dev/flotilla/spoke/helm"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// Name is the program's.
const Name = "flotilla-helm"

// Config says what is started, and its bounds.
type Config struct {
	// Program is the path of flotilla-helm. Empty: it is beside this process's own.
	Program string
	// Memory that a process may use beside its code, in bytes. 0: DefaultMemory.
	Memory int64
	// CPU is the processor time that one action may use, beside what it takes to wait (job.Job.CPU). 0: 2 minutes.
	CPU time.Duration
	// Wall bounds an action that changes nothing: to prepare, observe, render, and show values. The others are bounded by
	// the timeouts of the Job. 0: 2 minutes.
	Wall time.Duration
	// Grace is how long an action may take to come to its end once it is cut short. 0: 30 seconds.
	Grace time.Duration
}

// Runner starts processes. It is safe for concurrent use.
type Runner struct{ config Config }

var _ helm.Runner = (*Runner)(nil)

// New finds the program. It starts nothing.
func New(config Config) (*Runner, error) {
	if config.Program == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", Name, err)
		}
		config.Program = filepath.Join(filepath.Dir(self), Name)
	}
	if _, err := exec.LookPath(config.Program); err != nil {
		return nil, fmt.Errorf("find %s, which HelmReleases need: %w; it belongs beside flotilla-spoke", Name, err)
	}
	config.Memory = cmp.Or(config.Memory, DefaultMemory)
	config.CPU = cmp.Or(config.CPU, 2*time.Minute)
	config.Wall = cmp.Or(config.Wall, 2*time.Minute)
	config.Grace = cmp.Or(config.Grace, 30*time.Second)
	return &Runner{config}, nil
}

// passed are the variables of the environment that a way to the API server may need: no template can read them.
var passed = []string{
	"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
}

// Start implements helm.Runner.
func (r *Runner) Start(ctx context.Context, j job.Job, archive []byte) (helm.Process, error) {
	p, err := r.start(j)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", Name, err)
	}
	p.release = context.AfterFunc(ctx, p.end)
	p.begin(archive)
	return p, nil
}

func (r *Runner) start(j job.Job) (_ *Process, err error) {
	settings, err := json.Marshal(job.Settings{Memory: r.config.Memory, CPU: r.config.CPU})
	if err != nil {
		return nil, err
	}
	var files []*os.File
	pipe := func() (read, write *os.File) {
		if err == nil {
			if read, write, err = os.Pipe(); err == nil {
				files = append(files, read, write)
			}
		}
		return read, write
	}
	childIn, to := pipe()
	from, childOut := pipe()
	printed, childErr := pipe()
	p := newProcess(r.config, j, to, from)
	if err == nil {
		p.command = &exec.Cmd{
			Path: r.config.Program, Args: []string{Name}, Dir: "/",
			Stdin: childIn, Stdout: childErr, Stderr: childErr, ExtraFiles: []*os.File{childOut},
			SysProcAttr: confine.Attributes(),
			Env:         append(confine.Environment(r.config.Memory), job.Variable+"="+string(settings)),
		}
		for _, name := range passed {
			if value, has := os.LookupEnv(name); has {
				p.command.Env = append(p.command.Env, name+"="+value)
			}
		}
		err = p.command.Start()
	}
	if err != nil {
		for _, file := range files {
			err = errors.Join(err, file.Close())
		}
		return nil, err
	}
	for _, file := range []*os.File{childIn, childOut, childErr} {
		_ = file.Close() // the child has its own
	}
	go p.live(printed)
	return p, nil
}
