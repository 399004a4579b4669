package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// localFlags say what is built from local files.
type localFlags struct {
	path, root, file string
}

func (f *localFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.path, "path", "", "local directory to build, in place of the app's path in its source")
	flags.StringVar(&f.root, "root", "", "directory that the build may read from (default the Git work tree that --path is in, else --path)")
	flags.StringVar(&f.file, "kustomization-file", "", "file that declares the Kustomization, in place of the hub's")
	for _, name := range []string{"path", "root"} {
		_ = cmd.MarkFlagDirname(name) // the flags are there
	}
	_ = cmd.MarkFlagFilename("kustomization-file", "yaml", "yml", "json")
}

// kustomization is one as a file or the hub has it: the JSON, and the spec in it.
type kustomization struct {
	declared []byte
	flux.Kustomization
}

// buildLocal builds a local directory as the hub builds the Kustomization's, and returns that and the objects, one YAML
// document each.
func (a *app) buildLocal(ctx context.Context, r ref, flags localFlags) (declared kustomization, documents [][]byte, err error) {
	declared, err = a.withLocal(ctx, r, flags, func(spec fleet.BuildSpec, fsys build.FileSystem, dir string) error {
		out, err := build.NewBuilder(build.Options{}).Build(ctx, fsys, dir, spec)
		documents = out.Objects
		return err
	})
	return declared, documents, err
}

// withLocal has f build the local directory, and returns what declares it.
func (a *app) withLocal(ctx context.Context, r ref, flags localFlags, f func(spec fleet.BuildSpec, fsys build.FileSystem, dir string) error) (declared kustomization, err error) {
	if r.kind.Name != resource.Kustomization.Name {
		return declared, refuse("%s: only a Kustomization is built from a directory", r)
	}
	root, dir, err := flags.place()
	if err != nil {
		return declared, err
	}
	if declared, err = a.declaredKustomization(ctx, r, flags); err != nil {
		return declared, err
	}
	files, err := os.OpenRoot(root)
	if err != nil {
		return declared, refuse("--root: %s", err)
	}
	defer files.Close()
	fsys, isTree := files.FS().(build.FileSystem)
	if !isTree {
		return declared, errors.New("this machine's file system cannot be built from")
	}
	if err := f(declared.BuildSpec, fsys, dir); err != nil {
		return declared, buildFailure(r, declared.Kustomization, flags, err)
	}
	return declared, nil
}

// buildFailure is why a local directory cannot be built.
func buildFailure(r ref, declared flux.Kustomization, flags localFlags, err error) *failure {
	f := &failure{code: exitUsage, what: "build " + flags.path, why: err.Error()}
	var encrypted *build.EncryptedError
	if errors.As(err, &encrypted) && declared.Decryption != nil {
		f.why = encrypted.List() + ": encrypted with SOPS; the hub leaves this build to the clusters, which have the keys: " +
			"decrypt them here to build it, or ask the clusters without --path"
		f.next = "fleetctl diff " + r.pasted()
	}
	return f
}

// place returns the root of the build and the directory in it.
func (f *localFlags) place() (root, dir string, err error) {
	absolute, err := filepath.Abs(f.path)
	if err == nil {
		absolute, err = filepath.EvalSymlinks(absolute)
	}
	if err != nil {
		return "", "", refuse("--path: %s", err)
	}
	info, err := os.Stat(absolute)
	switch {
	case err != nil:
		return "", "", refuse("--path: %s", err)
	case !info.IsDir():
		return "", "", refuse("--path %s is no directory", f.path)
	}
	root = workTree(absolute)
	if f.root != "" {
		if root, err = filepath.Abs(f.root); err == nil {
			root, err = filepath.EvalSymlinks(root)
		}
		if err != nil {
			return "", "", refuse("--root: %s", err)
		}
	}
	dir, err = filepath.Rel(root, absolute)
	if err != nil || !filepath.IsLocal(dir) {
		return "", "", refuse("--path %s is not in --root %s", f.path, f.root)
	}
	return root, filepath.ToSlash(dir), nil
}

// workTree is the Git work tree that a directory is in, or else the directory itself.
func workTree(dir string) string {
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, ".git")); err == nil {
			return at
		}
		if at == filepath.Dir(at) {
			return dir
		}
	}
}

// declaredKustomization returns the Kustomization as the file or the hub has it.
func (a *app) declaredKustomization(ctx context.Context, r ref, flags localFlags) (k kustomization, err error) {
	if k.declared, err = a.kustomizationBytes(ctx, r, flags); err != nil {
		return k, err
	}
	o, err := resource.Decode(k.declared)
	if err != nil {
		return k, &failure{code: exitUsage, what: "read " + r.String(), why: err.Error()}
	}
	k.Kustomization, err = resource.Spec[flux.Kustomization](o)
	return k, err
}

func (a *app) kustomizationBytes(ctx context.Context, r ref, flags localFlags) ([]byte, error) {
	if flags.file != "" {
		return a.kustomizationIn(ctx, flags.file, r)
	}
	h, err := a.connect()
	if err != nil {
		return nil, err
	}
	defer h.close()
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	r.cluster = ""
	o, err := h.get(ctx, r)
	if err != nil {
		f := *a.explain("read "+r.String(), err)
		if f.code == exitNotFound || f.code == exitUnreachable || f.code == exitUsage {
			f.next = "--kustomization-file FILE with the Kustomization in it"
		}
		return nil, &f
	}
	return o.raw, nil
}

// kustomizationIn finds a Kustomization among the documents of a file.
func (a *app) kustomizationIn(ctx context.Context, file string, r ref) ([]byte, error) {
	manifests, err := a.readFile(ctx, file)
	if err != nil {
		return nil, refuse("--kustomization-file: %s", err)
	}
	for _, m := range manifests {
		if m.err != nil {
			return nil, refuse("--kustomization-file %s, line %d: %s", file, m.line, m.err)
		}
		found, err := identify(m.raw)
		if err == nil && found.kind.Name == r.kind.Name && found.name == r.name && (found.namespace == r.namespace || found.namespace == "") {
			return m.raw, nil
		}
	}
	return nil, refuse("--kustomization-file %s has no Kustomization %s/%s", file, r.namespace, r.name)
}
