package render

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/confine"
	"flotilla.dev/flotilla/pkg/fleet"
)

// BuildHook runs a hook in a worker instead of the job's build.
func (p *Pool) BuildHook(ctx context.Context, job Job, hook string) (Result, error) {
	return p.build(ctx, order{Job: job, task: task{Path: job.Path, Spec: job.Spec, Hook: hook}})
}

// Fetch has Run hand out a worker.
func (p *Pool) Fetch(ctx context.Context) error {
	_, err := p.fetch(ctx, "")
	return err
}

// Look has Run see to the spares.
func (p *Pool) Look() { p.look() }

// Gone notes that a worker, used before or fresh, was gone before it began its job.
func (p *Pool) Gone(used bool) { p.began(used, &goneError{"it was killed"}) }

// SetProgram has workers of a pool that does not run yet be processes of another program.
func (p *Pool) SetProgram(program func() (string, error)) { p.config.program = program }

// Program is the one that workers run.
func Program() (string, error) { return confine.Executable() }

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

// breed is set in the environment of a process that does nothing but live.
const breed = "FLOTILLA_RENDER_BREED"

func init() {
	if os.Getenv(breed) != "" {
		time.Sleep(time.Hour)
	}
}

var (
	sink  [][]byte
	turns int
)

func init() {
	maxInputs, maxInputBytes, maxQuestions = 4000, 4<<20, 30_000
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
		"breed": func(fsys build.FileSystem) ([][]byte, error) { // a process that keeps this one's output open
			_, _ = fsys.ReadFile("a.yaml")
			child, err := os.StartProcess("/proc/self/exe", []string{"breed"}, &os.ProcAttr{
				Env:   []string{breed + "=1"},
				Files: []*os.File{nil, os.Stderr, os.Stderr},
			})
			if err != nil {
				return nil, err
			}
			if _, err := fsys.ReadFile(fmt.Sprintf("pid/%d", child.Pid)); !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			if err := fsys.(*files).tell(); err != nil {
				return nil, err
			}
			time.Sleep(time.Hour)
			return nil, nil
		},
		"no thread": func(fsys build.FileSystem) ([][]byte, error) {
			_, _ = fsys.ReadFile("a.yaml")
			_, _ = os.Stderr.WriteString("runtime/cgo: pthread_create failed: Resource temporarily unavailable\n")
			os.Exit(2)
			return nil, nil
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
		"peeks": func(fsys build.FileSystem) ([][]byte, error) {
			for i := 0; ; i++ {
				if _, err := fsys.(*files).ask(msgPeek, fmt.Sprint("dir", i)); !errors.Is(err, fs.ErrNotExist) {
					return nil, err
				}
			}
		},
		"long names": func(fsys build.FileSystem) ([][]byte, error) {
			for i := 0; ; i++ {
				if _, err := fsys.Stat(strings.Repeat(strings.Repeat("a", 250)+"/", 15) + fmt.Sprint(i)); !errors.Is(err, fs.ErrNotExist) {
					return nil, err
				}
			}
		},
		"questions": func(fsys build.FileSystem) ([][]byte, error) {
			for {
				if _, err := fsys.(*files).ask(msgStat, "none"); !errors.Is(err, fs.ErrNotExist) {
					return nil, err
				}
			}
		},
		"huge": func(fsys build.FileSystem) ([][]byte, error) {
			_, err := fsys.(*files).out.Write([]byte{msgObjects, 0xff, 0xff, 0xff, 0xff})
			time.Sleep(time.Hour)
			return nil, err
		},
		"garbage": func(fsys build.FileSystem) ([][]byte, error) {
			return nil, send(fsys.(*files).out, msgObjects, []byte{0xff, 0xff, 0xff, 0xff, 0x0f})
		},
		"wrong path": func(fsys build.FileSystem) ([][]byte, error) {
			return nil, send(fsys.(*files).out, msgEncrypted, []byte(`[{"path":"../../etc/passwd","format":"yaml"}]`))
		},
		"odd path": func(fsys build.FileSystem) ([][]byte, error) {
			data, err := fsys.(*files).ask(msgRead, "../../etc/passwd")
			return [][]byte{data}, err
		},
		"odd input": func(fsys build.FileSystem) ([][]byte, error) {
			return nil, send(fsys.(*files).out, msgLooked, appendText(nil, "../a.yaml"))
		},
		"survey": func(fsys build.FileSystem) ([][]byte, error) {
			var out [][]byte
			for _, name := range []string{".", "few", "few/f00001", "few/none", "few/f00001/x", "many", "many/f00001", "many/sub", "many/none", "none/none"} {
				info, err := fsys.Stat(name)
				digest, known := fsys.(*files).Digest(name)
				is := "absent"
				switch {
				case err != nil && !errors.Is(err, fs.ErrNotExist):
					return nil, err
				case err == nil && info.IsDir():
					is = "directory"
				case err == nil:
					is = "file"
				}
				out = append(out, fmt.Appendf(nil, "%s: %s %t %s", name, is, known, digest))
			}
			for _, name := range []string{"few", "many", "none", "few/f00001"} {
				entries, err := fsys.ReadDir(name)
				sorted := slices.IsSortedFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
				out = append(out, fmt.Appendf(nil, "%s/: %d %t %v", name, len(entries), sorted, err))
			}
			return out, nil
		},
		"differ": func(fsys build.FileSystem) ([][]byte, error) { // as a build of the shape that a file has
			shape, err := fsys.ReadFile("shape")
			if err != nil {
				return nil, err
			}
			o := outcome{Way: build.ClassKustomize, Cause: "made up", Checked: true, Difference: &build.Difference{Shape: fleet.Digest(shape), What: "Secret/a/b has another content"}}
			payload, err := o.encode()
			if err != nil {
				return nil, err
			}
			return nil, send(fsys.(*files).out, msgOutcome, payload)
		},
		"differ at length": func(fsys build.FileSystem) ([][]byte, error) {
			long := strings.Repeat("<\x01", 4<<10)
			difference := &build.Difference{Dir: long, What: long}
			plan := &build.Plan{Class: build.ClassEngine}
			return nil, fsys.(*files).child.tell(plan, build.Output{Way: build.ClassKustomize, Reason: long, Checked: true, Difference: difference})
		},
		"check hangs": func(fsys build.FileSystem) ([][]byte, error) {
			check(fsys)
			time.Sleep(time.Hour)
			return nil, nil
		},
		"check exits": func(fsys build.FileSystem) ([][]byte, error) {
			check(fsys)
			os.Exit(1)
			return nil, nil
		},
		"check cannot read": func(fsys build.FileSystem) ([][]byte, error) {
			check(fsys)
			if _, err := fsys.ReadFile("away.yaml"); err == nil {
				return nil, errors.New("there is something to read")
			}
			return nil, errSame
		},
		"same as nothing": func(build.FileSystem) ([][]byte, error) { return nil, errSame },
		"digests": func(fsys build.FileSystem) ([][]byte, error) {
			entries, err := fsys.ReadDir("base")
			for _, e := range entries {
				if _, known := fsys.(*files).Digest("base/" + e.Name()); !known {
					return nil, fmt.Errorf("no digest of %s", e.Name())
				}
			}
			return nil, err
		},
		"contents": func(fsys build.FileSystem) ([][]byte, error) {
			fsys.(*files).contents.Clear()
			entries, err := fsys.ReadDir("base")
			for _, e := range entries {
				if _, err := fsys.ReadFile("base/" + e.Name()); err != nil {
					return nil, err
				}
			}
			return nil, err
		},
		"alone": func(build.FileSystem) ([][]byte, error) { return nil, errAlone },
		"odd way": func(fsys build.FileSystem) ([][]byte, error) {
			return nil, send(fsys.(*files).out, msgOutcome, []byte(`{"way":"rm -rf"}`))
		},
		"no path": func(fsys build.FileSystem) ([][]byte, error) {
			return nil, send(fsys.(*files).out, msgEncrypted, []byte(`[]`))
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

// check tells the pool what was built, as before kustomize repeats it.
func check(fsys build.FileSystem) {
	_, _ = fsys.Stat("a.yaml")
	plan := &build.Plan{Class: build.ClassEngine}
	fsys.(*files).checking(plan, build.Output{Objects: [][]byte{[]byte("built")}, Way: build.ClassEngine, Reason: "a reason"})
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
