package build

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Subtree is what someone else needs in order to make a build: one with files that the hub cannot decrypt is made where
// the keys are.
type Subtree struct {
	// Path is the directory to build, Spec what comes on top.
	Path string          `json:"path"`
	Spec fleet.BuildSpec `json:"spec"`
	// Files are all that the build looks at, of what the source has.
	Files []SubtreeFile `json:"files"`
	// Encrypted are those of the files that have to be decrypted first.
	Encrypted []Encrypted `json:"encrypted"`
}

// SubtreeFile is a file of a Subtree.
type SubtreeFile struct {
	Path   string       `json:"path"`
	Digest fleet.Digest `json:"digest"`
	Size   int64        `json:"size"`
}

// NewSubtree returns the Subtree of a build that ended with the EncryptedError after looking at the inputs.
func NewSubtree(tree *artifact.Tree, dir string, spec fleet.BuildSpec, inputs []string, encrypted *EncryptedError) Subtree {
	s := Subtree{Path: dir, Spec: spec, Encrypted: encrypted.Files}
	for _, input := range inputs {
		if file, is := tree.Lookup(input); is {
			s.Files = append(s.Files, SubtreeFile{Path: file.Path, Digest: file.Digest, Size: file.Size})
		}
	}
	return s
}

// Encode returns the deterministic encoding of the Subtree.
func (s Subtree) Encode() []byte {
	data, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("encode subtree: %v", err)) // strings, numbers and digests always encode
	}
	return data
}

// DecodeSubtree reads what Encode wrote. Its errors wrap fleet.ErrInvalid.
func DecodeSubtree(data []byte) (Subtree, error) {
	var s Subtree
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("decode subtree: %w: %w", fleet.ErrInvalid, err)
	}
	return s, nil
}

// standIn is an empty file that keeps a directory there. No build reads it: its name is that of no YAML.
const standIn = ".directory"

// Tree is the Tree of the files. The directory to build is in it, though a build that takes everything from components
// looks at no file of it.
func (s Subtree) Tree() (*artifact.Tree, error) {
	dir, err := cleanDir(s.Path)
	if err != nil {
		return nil, err
	}
	there := dir == "."
	files := make([]artifact.File, len(s.Files), len(s.Files)+1)
	for i, file := range s.Files {
		files[i] = artifact.File{Path: file.Path, Digest: file.Digest, Size: file.Size}
		there = there || strings.HasPrefix(file.Path, dir+"/")
	}
	if !there {
		files = append(files, artifact.File{Path: path.Join(dir, standIn), Digest: fleet.DigestOf(nil)})
	}
	return artifact.NewTree(files)
}
