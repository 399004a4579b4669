package build

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Plan is what is known of a build before it is made: all that it looks at, and how it will be made.
type Plan struct {
	// Dir is the directory to build.
	Dir string
	// Class says how it is built; File and Field are where the tree asks for that, as far as there is such a place, and
	// Reason says why in words.
	Class               Class
	File, Field, Reason string
	// Inputs are all that the build looks at, sorted: what is read or asked for, whether there or not, and directories
	// that are listed, with a slash at the end.
	Inputs []string
	// Key names the build by its whole input: builds with the same Key have the same objects.
	Key fleet.Digest
	// Shape names the builds of trees that are alike: the same directory, and the same kustomization files in it and in
	// what it includes, which set the same fields.
	Shape fleet.Digest
	// Encrypted are the files that have to be decrypted first; the Class is ClassEncrypted then.
	Encrypted []Encrypted
	// Schema says that the tree brings a schema of its own. Kustomize keeps it in a global: whoever lets tenants share a
	// process gives such a build one of its own.
	Schema bool

	tree  *tree
	top   *overlay
	looks []look // in the order in which they were taken
}

// NewPlan walks through the kustomization files of a directory with the spec on top, and returns what its build comes to.
// It reads no more of the tree than that takes. Its errors are those of Build: what Build refuses of a kustomization file
// is refused here already.
func NewPlan(ctx context.Context, fsys FileSystem, dir string, spec fleet.BuildSpec) (*Plan, error) {
	return newPlan(ctx, fsys, dir, spec, nil)
}

func newPlan(ctx context.Context, fsys FileSystem, dir string, spec fleet.BuildSpec, reader reader) (*Plan, error) {
	dir, err := cleanDir(dir)
	if err != nil {
		return nil, err
	}
	noted := newLooks(fsys)
	t := newTree(ctx, noted)
	t.reader = reader
	if err := t.confirm(dir); err != nil {
		return nil, err
	}
	p := &Plan{Dir: dir, tree: t}
	if p.top, err = t.prepare(dir, spec); err != nil {
		return nil, t.explain(err)
	}
	p.Encrypted = t.encrypted(dir)
	found := t.reach(dir)
	if t.failure != nil {
		return nil, t.failure
	}
	p.classify(found)
	p.Shape = shapeOf(dir, found)
	p.Schema = t.schemaChanged
	t.fsys = fsys
	if err := t.digest(noted.seen); err != nil {
		return nil, err
	}
	for i := range noted.seen {
		l := &noted.seen[i]
		n, is := t.scanned[l.input]
		l.scanned = is && n == t.reads[l.input]
	}
	p.looks, p.Inputs = noted.seen, inputsOf(noted.seen)
	p.Key = planKey(dir, spec, p.looks)
	return p, nil
}

// digest has every look at a file say what is in it.
func (t *tree) digest(seen []look) error {
	for i := range seen {
		l := &seen[i]
		if l.kind != file || l.read {
			continue
		}
		digest, known := digestOf(t.fsys, l.input)
		if !known {
			data, err := t.ReadFile(absolute(l.input))
			if err != nil {
				return cmp.Or(t.failure, err)
			}
			digest = fleet.DigestOf(data)
		}
		l.digest = digest
	}
	return nil
}

// planKey names a build that looks at this.
func planKey(dir string, spec fleet.BuildSpec, seen []look) fleet.Digest {
	sum := sha256.New()
	var text []byte
	part := func(kind byte, content string, digest fleet.Digest) {
		text = append(binary.AppendUvarint(append(text[:0], kind), uint64(len(content))), content...)
		_, _ = sum.Write(append(text, digest[:]...)) // a hash never fails
	}
	for _, content := range []string{Version, dir, string(spec.Encode())} {
		part('=', content, fleet.Digest{})
	}
	for _, l := range sorted(seen) {
		part(l.kind, l.input, l.digest)
	}
	return fleet.Digest(sum.Sum(nil))
}

func (p *Plan) classify(found []reached) {
	r := classify(p.top, found)
	if len(p.Encrypted) > 0 {
		list := (&EncryptedError{p.Encrypted}).List()
		r = reason{class: ClassEncrypted, text: list + ": encrypted with SOPS, which only the clusters decrypt"}
	}
	p.Class, p.File, p.Field, p.Reason = r.class, r.file, r.field, r.text
}

// Files are those of the Inputs that are files.
func (p *Plan) Files() []string {
	var files []string
	for _, look := range sorted(p.looks) {
		if look.kind == file {
			files = append(files, look.input)
		}
	}
	return files
}

// Why says in one line why the build is made as it is.
func (p *Plan) Why() string {
	why := p.Reason
	for _, place := range []string{p.Field, p.File} {
		if place != "" {
			why = place + ": " + why
		}
	}
	return why
}

// explain makes an error of preparing a build, or of kustomize, that of a Build.
func (t *tree) explain(err error) error {
	switch {
	case t.failure != nil: // what kustomize made of it is beside the point
		return t.failure
	case err != nil:
		return fmt.Errorf("%w: %s", fleet.ErrInvalid, tidy(err.Error()))
	}
	return nil
}
