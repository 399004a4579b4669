package build

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"strings"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build/engine"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Digester is a FileSystem that knows the digest of a file's content without reading it. It says false of what is no
// file, and may say so of any.
type Digester = engine.Digester

func digestOf(fsys FileSystem, name string) (fleet.Digest, bool) {
	if digester, is := fsys.(Digester); is {
		return digester.Digest(name)
	}
	return fleet.Digest{}, false
}

// Key is the digest of what each input that one build had is in this tree. As builds are pure, two trees with the same key
// have the same objects by the same Version, directory and spec; a build of the second need not be made.
func Key(tree *artifact.Tree, inputs []string) fleet.Digest {
	fsys := artifact.NewFS(tree, nil)
	sum := sha256.New()
	var scratch []byte
	part := func(text string) {
		scratch = append(binary.AppendUvarint(scratch[:0], uint64(len(text))), text...)
		_, _ = sum.Write(scratch) // a hash never fails
	}
	for _, input := range inputs {
		part(input)
		name, listed := strings.CutSuffix(input, "/")
		if digest, isFile := fsys.Digest(name); isFile {
			part(digest.String())
			continue
		}
		switch _, err := fsys.Stat(name); {
		case errors.Is(err, fs.ErrNotExist):
			part("none")
		case listed:
			part("listing")
			entries, _ := fsys.ReadDir(name) // it is a directory
			for _, entry := range entries {
				part(entry.Type().String() + entry.Name())
			}
		default:
			part("directory")
		}
	}
	return fleet.Digest(sum.Sum(nil))
}
