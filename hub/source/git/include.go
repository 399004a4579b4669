package git

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// inputOf is the GitRepository that an include names, with what it has.
func inputOf(u source.Upstream, i int) (source.Input, error) {
	field := fmt.Sprintf("include[%d].repository", i)
	for _, input := range u.Inputs {
		if input.Field != field {
			continue
		}
		if input.Tree.IsZero() {
			return input, unavailable(u, "NoArtifact", "spec.%s: GitRepository %s has no artifact yet; it is tried again when it has", field, source.Shown(input.Name))
		}
		return input, nil
	}
	return source.Input{}, unavailable(u, "NotFound", "spec.%s: there is no GitRepository %s in the namespace", field, source.Shown(specOf(u).Include[i].Repository.Name))
}

// unavailable is a failure with Flux's reason for it.
func unavailable(u source.Upstream, reason, format string, args ...any) error {
	failure := u.Fail(source.KindInput, format, args...)
	failure.Reason = reason
	return failure
}

// inputs names what is included, as it is now.
func inputs(u source.Upstream) (name fleet.Digest, err error) {
	if len(specOf(u).Include) == 0 {
		return name, nil
	}
	sum := sha256.New()
	for i := range specOf(u).Include {
		input, err := inputOf(u, i)
		if err != nil {
			return name, err
		}
		_, _ = sum.Write(input.Tree[:]) // a hash never fails
	}
	return fleet.Digest(sum.Sum(nil)), nil
}

// include takes files of other Trees in, by their digests: no content is read or written.
func (w *walker) include(root *dir) error {
	for i, include := range specOf(w.upstream).Include {
		field := fmt.Sprintf("spec.include[%d]", i)
		input, err := inputOf(w.upstream, i)
		if err != nil {
			return err
		}
		tree, err := artifact.Load(w.ctx, w.git.config.Store, input.TreeBlob)
		if err != nil {
			return &source.StoreFailure{Err: err}
		}
		from, found := tree.Sub(include.Origin())
		if !found {
			return unavailable(w.upstream, "CopyFailure", "%s.fromPath: GitRepository %s has no directory %s at %s", field, source.Shown(input.Name), source.Shown(include.Origin()), input.Revision)
		}
		if taken(root, include.Target()) {
			return w.upstream.Fail(source.KindContent, "%s.toPath: %s is there already; write a path that the repository does not have", field, source.Shown(include.Target()))
		}
		if len(w.included)+len(from.Files) > maxIncludedFiles {
			return w.upstream.Fail(source.KindLimit, "its includes have more than %d files", maxIncludedFiles)
		}
		for _, file := range from.Files {
			if include.Target() != "." {
				file.Path = include.Target() + "/" + file.Path
			}
			w.included = append(w.included, file)
		}
		w.detail.Included = append(w.detail.Included, fleet.IncludedArtifact{Name: input.Name, Revision: input.Revision, Tree: input.Tree})
	}
	return nil
}

// taken reports whether the repository has something at a path.
func taken(root *dir, path string) bool {
	if path == "." {
		return len(root.entries) > 0
	}
	at := root
	parts := strings.Split(path, "/")
	for i, name := range parts {
		e := at.entry(name)
		switch {
		case e.name == "":
			return false
		case i == len(parts)-1:
			return true
		case e.sub == nil:
			return true // a file stands where a directory is to be
		}
		at = e.sub
	}
	return false
}
