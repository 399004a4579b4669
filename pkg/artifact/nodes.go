package artifact

import (
	"encoding/binary"
	"hash/fnv"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Node is a piece of a stored Tree: a blob, and the blobs that are kept with it.
type Node struct {
	Digest fleet.Digest
	Data   []byte
	// Parts are what the blob names, each of them once: files, or nodes.
	Parts []fleet.Digest
}

// magic begins a node of a Tree; its level follows.
const magic = "flotilla tree 2\n"

// A stored Tree is itself a tree: its leaves have some dozens of files that follow one another, the nodes above them name
// those. Where one ends is decided by the path of its last file, so that a commit of one file leaves all of them as they
// are but one leaf and the few above it, wherever in the repository and however large its directories are. The bounds keep
// a repository whose paths were chosen for it from making nodes of one file, or of all.
const (
	leafBits, minLeaf, maxLeaf = 6, 16, 512
	nodeBits, minNode, maxNode = 5, 8, 512
	// maxLeafSize is of the encoding of a leaf, of long paths.
	maxLeafSize = 48 << 10
)

// Nodes are the blobs that the tree is stored as, each after those that it names; the last is the root, by whose digest
// Load finds it. They follow from the files alone.
func (t *Tree) Nodes() []Node {
	var nodes []Node
	var level []child
	files := t.Files
	for first := true; first || len(files) > 0; first = false {
		leaf, taken := newLeaf(files)
		nodes = append(nodes, leaf)
		last := ""
		if taken > 0 {
			last = files[taken-1].Path
		}
		level = append(level, child{leaf.Digest, ending(last) >> leafBits})
		files = files[taken:]
	}
	for height := byte(1); len(level) > 1; height++ {
		var above []child
		for len(level) > 0 {
			taken := 1
			for taken < len(level) && taken < maxNode && (taken < minNode || level[taken-1].ending&(1<<nodeBits-1) != 0) {
				taken++
			}
			node := newNode(height, level[:taken])
			nodes = append(nodes, node)
			above = append(above, child{node.Digest, level[taken-1].ending >> nodeBits})
			level = level[taken:]
		}
		level = above
	}
	return nodes
}

// child is a node that one above it names; the bits of its last file that say whether that one ends with it.
type child struct {
	digest fleet.Digest
	ending uint64
}

func ending(path string) uint64 {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(path)) // a hash never fails
	mixed := sum.Sum64()           // whose low bits alone follow from few of the path's
	return mixed ^ mixed>>32
}

// newLeaf takes files from the front into a leaf.
func newLeaf(files []File) (leaf Node, taken int) {
	out := make([]byte, 0, 4<<10)
	before := ""
	parts := make([]fleet.Digest, 0, 1<<leafBits)
	seen := make(map[fleet.Digest]bool, 1<<leafBits)
	for taken < len(files) && taken < maxLeaf && len(out) < maxLeafSize {
		file := files[taken]
		taken++
		out = appendFile(out, before, file)
		before = file.Path
		if !seen[file.Digest] {
			seen[file.Digest] = true
			parts = append(parts, file.Digest)
		}
		if taken >= minLeaf && ending(file.Path)&(1<<leafBits-1) == 0 {
			break
		}
	}
	data := append(head(0, taken, len(out)), out...)
	return Node{Digest: fleet.DigestOf(data), Data: data, Parts: parts}, taken
}

func newNode(height byte, children []child) Node {
	data := head(height, len(children), len(children)*len(fleet.Digest{}))
	parts := make([]fleet.Digest, len(children))
	for i, c := range children {
		data = append(data, c.digest[:]...)
		parts[i] = c.digest
	}
	return Node{Digest: fleet.DigestOf(data), Data: data, Parts: parts}
}

func head(height byte, count, size int) []byte {
	out := append(make([]byte, 0, len(magic)+1+binary.MaxVarintLen64+size), magic...)
	return binary.AppendUvarint(append(out, height), uint64(count))
}

// appendFile appends the bytes that the path shares with the one before, the rest of it, mode, size and digest.
func appendFile(out []byte, before string, file File) []byte {
	shared := 0
	for shared < min(len(before), len(file.Path)) && before[shared] == file.Path[shared] {
		shared++
	}
	out = binary.AppendUvarint(out, uint64(shared))
	out = binary.AppendUvarint(out, uint64(len(file.Path)-shared))
	out = append(out, file.Path[shared:]...)
	out = append(out, byte(file.Mode))
	out = binary.AppendUvarint(out, uint64(file.Size))
	return append(out, file.Digest[:]...)
}
