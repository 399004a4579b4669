package helm

import (
	"bytes"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/hub/source"
)

// Bounds of a YAML document of strangers. A parser takes some hundred bytes of memory a node, so what is counted before
// one sees the document is what it may take: well below 64 MiB.
const (
	maxDocument = 1 << 20
	maxNodes    = 100_000
	// maxExpansion is how many times more nodes aliases may make of those that are written.
	maxExpansion = 10
)

// decode reads a document as helm does, within the bounds: a number is taken for a text where one is wanted. name is for
// the error.
func decode(name string, data []byte, into any) error {
	if err := check(name, data); err != nil {
		return err
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		return wrong("%s: %s", name, source.Shown(err.Error()))
	}
	return nil
}

// check refuses a document that is too large to be parsed.
func check(name string, data []byte) error {
	if len(data) > maxDocument {
		return tooLarge("%s has %d bytes; a YAML document may have %d", name, len(data), maxDocument)
	}
	if count(data) > maxNodes {
		return tooLarge("%s has more than %d values", name, maxNodes)
	}
	if bytes.IndexByte(data, '*') < 0 || bytes.IndexByte(data, '&') < 0 {
		return nil
	}
	var document yamlv3.Node
	if err := yamlv3.Unmarshal(data, &document); err != nil {
		return wrong("%s is not YAML: %s", name, source.Shown(err.Error()))
	}
	e := expansion{sizes: map[*yamlv3.Node]int{}}
	if written, made := e.written(&document), e.made(&document); made > maxNodes || made > maxExpansion*written {
		return tooLarge("%s makes more than %d values by aliases", name, min(maxNodes, maxExpansion*written))
	}
	return nil
}

// count is an upper bound of the nodes of a document, found by the characters that begin one. Those in texts count too.
func count(data []byte) int {
	nodes, flow := 2, false
	for i, c := range data {
		switch c {
		case '[', '{':
			flow = true
			nodes++
		case ',':
			if flow {
				nodes += 2
			}
		case ':', '?':
			if flow || endsToken(data, i+1) {
				nodes += 2
			}
		case '-':
			if endsToken(data, i+1) {
				nodes++
			}
		}
	}
	return nodes
}

// endsToken reports whether what is at i may be white space to a parser, in any encoding.
func endsToken(data []byte, i int) bool {
	return i >= len(data) || data[i] <= ' ' || data[i] >= 0x7f
}

// expansion counts nodes with aliases followed.
type expansion struct {
	sizes map[*yamlv3.Node]int
}

func (e *expansion) written(node *yamlv3.Node) int {
	sum := 1
	for _, child := range node.Content {
		sum += e.written(child)
	}
	return sum
}

// tooMany is more than any document may have, and far from an overflow when added up.
const tooMany = maxNodes + 1

func (e *expansion) made(node *yamlv3.Node) int {
	if node.Kind == yamlv3.AliasNode {
		node = node.Alias
	}
	if size, known := e.sizes[node]; known {
		return size
	}
	e.sizes[node] = tooMany // what holds itself has no end
	sum := 1
	for _, child := range node.Content {
		sum = min(sum+e.made(child), tooMany)
	}
	e.sizes[node] = sum
	return sum
}

// trimmed is a file without the mark that some editors put before UTF-8.
func trimmed(data []byte) []byte { return bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) }
