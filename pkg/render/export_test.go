package render

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"time"

	"flotilla.dev/flotilla/pkg/build"
)

// BuildHook runs a hook in a worker instead of the job's build.
func (p *Pool) BuildHook(ctx context.Context, job Job, hook string) (Result, error) {
	return p.build(ctx, job, hook)
}

// Fetch has Run hand out a worker.
func (p *Pool) Fetch(ctx context.Context) error {
	_, err := p.fetch(ctx, "")
	return err
}

// Workers are the processes of the pool's workers.
func (p *Pool) Workers() []*os.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*os.Process
	for w := range p.workers {
		out = append(out, w.command.Process)
	}
	return out
}

var (
	sink  [][]byte
	turns int
)

func init() {
	maxInputs = 4000
	hooks = map[string]func(build.FileSystem) ([][]byte, error){
		"spin": func(fsys build.FileSystem) ([][]byte, error) {
			_, _ = fsys.Stat("a.yaml")
			for i := 0; ; i++ {
				turns = i
			}
		},
		"hang": func(fsys build.FileSystem) ([][]byte, error) {
			_, _ = fsys.ReadFile("a.yaml")
			time.Sleep(time.Hour)
			return nil, nil
		},
		"bomb": func(fsys build.FileSystem) ([][]byte, error) {
			_, _ = fsys.ReadFile("a.yaml")
			for {
				block := make([]byte, 1<<20)
				for i := range block {
					block[i] = 1
				}
				sink = append(sink, block)
			}
		},
		"panic": func(fsys build.FileSystem) ([][]byte, error) {
			_, _ = fsys.Stat("a.yaml")
			panic("on purpose")
		},
		"exit": func(fsys build.FileSystem) ([][]byte, error) {
			_, _ = fsys.Stat("a.yaml")
			os.Exit(0)
			return nil, nil
		},
		"recurse": func(fsys build.FileSystem) ([][]byte, error) {
			_, _ = fsys.Stat("a.yaml")
			return [][]byte{make([]byte, recurse(1))}, nil
		},
		"flood": func(fsys build.FileSystem) ([][]byte, error) {
			name := make([]byte, 8)
			for i := 0; ; i++ {
				for j := range name {
					name[j] = 'a' + byte(i>>(3*j))&7
				}
				_, _ = fsys.Stat(string(name))
			}
		},
		"huge": func(fsys build.FileSystem) ([][]byte, error) {
			_, err := fsys.(*child).out.Write([]byte{msgObjects, 0xff, 0xff, 0xff, 0xff})
			time.Sleep(time.Hour)
			return nil, err
		},
		"garbage": func(fsys build.FileSystem) ([][]byte, error) {
			return nil, send(fsys.(*child).out, msgObjects, []byte{0xff, 0xff, 0xff, 0xff, 0x0f})
		},
		"wrong path": func(fsys build.FileSystem) ([][]byte, error) {
			return nil, send(fsys.(*child).out, msgEncrypted, []byte(`[{"path":"../../etc/passwd","format":"yaml"}]`))
		},
		"no path": func(fsys build.FileSystem) ([][]byte, error) {
			return nil, send(fsys.(*child).out, msgEncrypted, []byte(`[]`))
		},
		"traverse": func(fsys build.FileSystem) ([][]byte, error) {
			var out [][]byte
			for _, name := range []string{"../etc/passwd", "/etc/passwd", "a\x00", "a/../a.yaml", "./a.yaml", ""} {
				if data, err := fsys.ReadFile(name); err == nil {
					out = append(out, data)
				}
			}
			return out, nil
		},
		"surroundings": func(build.FileSystem) ([][]byte, error) {
			var out [][]byte
			for _, variable := range os.Environ() {
				out = append(out, []byte(variable))
			}
			_, asked := http.Get("http://127.0.0.1:1")
			_, program := exec.LookPath("git")
			_, temporary := os.MkdirTemp("", "")
			for _, err := range []error{asked, program, temporary} {
				out = append(out, fmt.Append(nil, err))
			}
			return out, nil
		},
		"print": func(build.FileSystem) ([][]byte, error) {
			for range 10_000 {
				_, _ = os.Stderr.WriteString("a line\n")
			}
			return [][]byte{[]byte("done")}, nil
		},
		"pid": func(build.FileSystem) ([][]byte, error) {
			return [][]byte{[]byte(time.Now().String()), {byte(os.Getpid()), byte(os.Getpid() >> 8), byte(os.Getpid() >> 16)}}, nil
		},
	}
}

//go:noinline
func recurse(n int) int {
	if n == turns-1 { // never
		return 0
	}
	var frame [1 << 10]byte
	frame[n%len(frame)] = 1
	return recurse(n+1) + int(frame[(n+1)%len(frame)])
}
