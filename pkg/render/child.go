package render

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/build/cache"
	"flotilla.dev/flotilla/pkg/confine"
	"flotilla.dev/flotilla/pkg/fleet"
)

// variable is set in the environment of a process that is to be a worker; its value is the worker's settings.
const variable = "FLOTILLA_RENDER_WORKER"

// settings are what a worker is started with.
type settings struct {
	Memory     int64         `json:"memory"`
	CPU        time.Duration `json:"cpu"`
	CheckEvery int           `json:"checkEvery"`
}

// The worker's ends of the pipes.
const (
	fromPool = 3
	toPool   = 4
)

// maxFiles is how many files a worker may have open; it opens none.
const maxFiles = 32

// maxStack is more than kustomize needs for anything but nesting without end.
const maxStack = 64 << 20

// hooks are what a task may run instead of a build; tests fill it.
var hooks map[string]func(build.FileSystem) ([][]byte, error)

// Main must be called first in main, and in TestMain of packages whose tests use a Pool. In a process that was started
// as a worker it serves builds until the pool is done with it, and does not return; in any other it does nothing. So a
// worker has none of what the program makes for itself, only what packages do when they are loaded, which is some 5 ms.
func Main() {
	value, isWorker := os.LookupEnv(variable)
	if !isWorker {
		return
	}
	var s settings
	if err := json.Unmarshal([]byte(value), &s); err != nil {
		fmt.Fprintln(os.Stderr, "render worker: settings:", err)
		os.Exit(2)
	}
	if err := confine.Limit(s.Memory, maxFiles); err != nil {
		fmt.Fprintln(os.Stderr, "render worker: limits:", err)
		os.Exit(2)
	}
	debug.SetMaxStack(maxStack)
	// pkg/build refuses what would reach out. This is for what it may have overlooked.
	http.DefaultTransport = noNetwork{}
	in, out := os.NewFile(fromPool, "from pool"), os.NewFile(toPool, "to pool")
	if in == nil || out == nil {
		fmt.Fprintln(os.Stderr, "render worker: no pipes")
		os.Exit(2)
	}
	c := newChild(in, out, s)
	c.warm()
	if err := c.serve(); !errors.Is(err, io.EOF) {
		fmt.Fprintln(os.Stderr, "render worker:", err)
		os.Exit(2)
	}
	os.Exit(0)
}

type noNetwork struct{}

func (noNetwork) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("a build has no network")
}

// warm makes kustomize load what it loads once, before a build waits for it.
func (c *child) warm() {
	contents := map[string]string{
		"kustomization.yaml": "namePrefix: a-\nresources: [a.yaml]\npatches: [{patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 1}}'}]\n",
		"a.yaml":             "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {template: {spec: {containers: [{name: a}]}}}\n",
	}
	blobs := map[fleet.Digest][]byte{}
	var tree artifact.Tree
	for _, name := range []string{"a.yaml", "kustomization.yaml"} {
		data := []byte(contents[name])
		blobs[fleet.DigestOf(data)] = data
		tree.Files = append(tree.Files, artifact.File{Path: name, Digest: fleet.DigestOf(data)})
	}
	fsys := artifact.NewFS(&tree, func(digest fleet.Digest) ([]byte, error) { return blobs[digest], nil })
	_, err := build.Build(context.Background(), fsys, ".", fleet.BuildSpec{})
	if err == nil {
		_, err = c.builder.Build(context.Background(), fsys, ".", fleet.BuildSpec{})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "render worker: warm up:", err) // a real build will tell
	}
}

// child is the worker's side of the pipes.
type child struct {
	in       io.Reader
	out      io.Writer
	settings settings
	// contents are those of files that were read, so that they need not be asked for again: most of a tree is what it was
	// at the commit before.
	contents *cache.Cache[fleet.Digest, []byte]
	builder  *build.Builder
	jobs     int
	files    *files // of the job
	made     bool   // the pool has what was built, which kustomize repeats
}

// Parts of a worker's memory, as one in so many, that the builder may keep things in between builds, and that contents
// may have.
const (
	cacheShare   = 4
	contentShare = 16
)

func newChild(in io.Reader, out io.Writer, s settings) *child {
	c := &child{in: in, out: out, settings: s, contents: cache.New[fleet.Digest, []byte](s.Memory / contentShare)}
	c.builder = build.NewBuilder(build.Options{CacheBytes: s.Memory / cacheShare, CheckEvery: s.CheckEvery, Kustomizing: c.kustomizing, Checking: c.checking})
	return c
}

// kustomizing has the pool know how a build is made that may not come to its end. That it cannot be told shows at the
// result, too.
func (c *child) kustomizing(plan *build.Plan, out build.Output) { _ = c.tell(plan, out) }

// checking has the pool have what was built, before kustomize repeats it.
func (c *child) checking(plan *build.Plan, out build.Output) {
	if c.files == nil {
		return // it is warming up
	}
	c.made = errors.Join(c.tell(plan, out), c.files.tell(), send(c.out, msgMade, encodeObjects(out.Objects))) == nil
}

func (c *child) tell(plan *build.Plan, out build.Output) error {
	if c.files == nil {
		return nil
	}
	payload, err := outcomeOf(plan, out).encode()
	if err != nil {
		return err
	}
	return send(c.out, msgOutcome, payload)
}

// serve answers jobs until the pool closes the pipe, which is io.EOF.
func (c *child) serve() error {
	idle := time.AfterFunc(0, debug.FreeOSMemory) // of what warming up left
	for {
		kind, payload, err := receive(c.in, maxToWorker)
		idle.Stop()
		if err != nil {
			return err
		}
		var t task
		if err := json.Unmarshal(payload, &t); err != nil || kind != msgJob {
			return fmt.Errorf("message %q instead of a job: %w", kind, err)
		}
		if err := confine.MoreCPU(c.settings.CPU); err != nil {
			return err
		}
		fsys := newFiles(c)
		c.files, c.made = fsys, false
		kind, payload = encodeResult(c.run(fsys, t))
		c.jobs++
		if err := fsys.tell(); err != nil {
			return err
		}
		if err := send(c.out, kind, payload); err != nil {
			return err
		}
		idle = time.AfterFunc(time.Second, debug.FreeOSMemory)
	}
}

func (c *child) run(fsys *files, t task) ([][]byte, error) {
	if len(t.Distrust) > 0 {
		c.builder.Distrust(t.Distrust...)
	}
	if t.Hook != "" {
		if hook := hooks[t.Hook]; hook != nil {
			return hook(fsys)
		}
		return nil, fmt.Errorf("no hook %q", t.Hook)
	}
	ctx := context.Background() // whoever does not want to wait kills the process
	plan, err := c.builder.Plan(ctx, fsys, t.Path, t.Spec)
	if err != nil {
		return nil, err
	}
	if plan.Schema && c.jobs > 0 {
		return nil, errAlone
	}
	begin := build.Output{Way: plan.Class, Reason: plan.Why()}
	if err := c.tell(plan, begin); err != nil {
		return nil, err
	}
	out, err := c.builder.Run(ctx, plan)
	if out.Way != "" {
		err = errors.Join(err, c.tell(plan, out))
	}
	if err == nil && c.made && out.Difference == nil {
		return nil, errSame
	}
	return out.Objects, located(plan, err)
}

// located names the place of a schema that ends a build by a panic: kustomize names none then. Of other panics it is not
// known what file they are about.
func located(plan *build.Plan, err error) error {
	if isPanic(err) && plan.Schema && plan.Field == "openapi" {
		return fmt.Errorf("%s: openapi: %w", plan.File, err)
	}
	return err
}

func encodeResult(objects [][]byte, err error) (kind byte, payload []byte) {
	switch {
	case errors.Is(err, errAlone):
		return msgAlone, nil
	case errors.Is(err, errSame):
		return msgSame, nil
	}
	var encrypted *build.EncryptedError
	if errors.As(err, &encrypted) {
		if files, err := json.Marshal(encrypted.Files); err == nil {
			return msgEncrypted, files
		}
	}
	if err != nil {
		return msgError, encodeError(err)
	}
	return msgObjects, encodeObjects(objects)
}

func encodeError(err error) []byte {
	kind := byte(errorOther)
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		kind = errorNotFound
	case errors.Is(err, fleet.ErrInvalid):
		kind = errorInvalid
	}
	text := err.Error()
	return append([]byte{kind}, text[:min(len(text), maxRequest-1)]...)
}
