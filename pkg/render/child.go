package render

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"runtime/debug"
	"time"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
)

// variable is set in the environment of a process that is to be a worker; its value is the worker's settings.
const variable = "FLOTILLA_RENDER_WORKER"

// settings are what a worker is started with.
type settings struct {
	Memory int64         `json:"memory"`
	CPU    time.Duration `json:"cpu"`
}

// The worker's ends of the pipes.
const (
	fromPool = 3
	toPool   = 4
)

// maxStack is more than kustomize needs for anything but nesting without end.
const maxStack = 64 << 20

// hooks are what a task may run instead of a build; tests fill it.
var hooks map[string]func(build.FileSystem) ([][]byte, error)

// Main must be called first in main, and in TestMain of packages whose tests use a Pool. In a process that was started
// as a worker it serves builds until the pool is done with it, and does not return; in any other it does nothing.
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
	if err := limit(s); err != nil {
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
	warm()
	c := child{in: in, out: out, settings: s}
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
func warm() {
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
	if _, err := build.Build(context.Background(), fsys, ".", fleet.BuildSpec{}); err != nil {
		fmt.Fprintln(os.Stderr, "render worker: warm up:", err) // a real build will tell
	}
}

// child is the worker's side of the pipes.
type child struct {
	in       io.Reader
	out      io.Writer
	settings settings
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
		if err := limitJob(c.settings.CPU); err != nil {
			return err
		}
		kind, payload = encodeResult(c.run(t))
		if err := send(c.out, kind, payload); err != nil {
			return err
		}
		idle = time.AfterFunc(time.Second, debug.FreeOSMemory)
	}
}

func (c *child) run(t task) ([][]byte, error) {
	if t.Hook != "" {
		if hook := hooks[t.Hook]; hook != nil {
			return hook(c)
		}
		return nil, fmt.Errorf("no hook %q", t.Hook)
	}
	return build.Build(context.Background(), c, t.Path, t.Spec)
}

func encodeResult(objects [][]byte, err error) (kind byte, payload []byte) {
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

// ask sends a request for a path and returns the answer.
func (c *child) ask(kind byte, name string) ([]byte, error) {
	if len(name) > maxRequest {
		return nil, fs.ErrNotExist
	}
	if err := send(c.out, kind, []byte(name)); err != nil {
		return nil, err
	}
	got, payload, err := receive(c.in, maxToWorker)
	if err != nil || got != msgAnswer || len(payload) == 0 {
		return nil, fmt.Errorf("answer %q: %w", got, errors.Join(errMalformed, err))
	}
	switch payload[0] {
	case answerFound:
		return payload[1:], nil
	case answerAbsent:
		return nil, fs.ErrNotExist
	}
	return nil, errors.New("the file could not be had")
}

// ReadFile implements build.FileSystem.
func (c *child) ReadFile(name string) ([]byte, error) {
	data, err := c.ask(msgRead, name)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return data, nil
}

// ReadDir implements build.FileSystem.
func (c *child) ReadDir(name string) ([]fs.DirEntry, error) {
	data, err := c.ask(msgList, name)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	var entries []fs.DirEntry
	for len(data) > 0 {
		isDir := data[0] == 'd'
		text, rest, err := takeText(data[1:])
		if err != nil {
			return nil, err
		}
		entries, data = append(entries, fs.FileInfoToDirEntry(info{string(text), isDir})), rest
	}
	return entries, nil
}

// Stat implements build.FileSystem.
func (c *child) Stat(name string) (fs.FileInfo, error) {
	data, err := c.ask(msgStat, name)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return info{path.Base(name), len(data) > 0 && data[0] == 'd'}, nil
}

type info struct {
	name  string
	isDir bool
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return 0 }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.isDir }
func (i info) Sys() any           { return nil }

func (i info) Mode() fs.FileMode {
	if i.isDir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}
