package encode_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"flotilla.dev/flotilla/pkg/build/encode"
)

// compare checks one object against kustomize and says whether it was printed directly.
func compare(t interface{ Errorf(string, ...any) }, node *yaml.RNode) bool {
	got, sure := encode.Document(node)
	if !sure {
		return false
	}
	want, err := (&resource.Resource{RNode: *node}).AsYAML()
	if err != nil {
		t.Errorf("kustomize: %v; printed\n%s", err, got)
	} else if diff := cmp.Diff(string(want), string(got)); diff != "" {
		text, _ := node.String()
		t.Errorf("object (-kustomize +here):\n%s\nof %q\n%s", diff, text, text)
	}
	return true
}

// objects reads a file as kustomize does. What it refuses has none.
func objects(data []byte) (nodes []*yaml.RNode) {
	defer func() {
		if recover() != nil {
			nodes = nil
		}
	}()
	resources, err := provider.NewDefaultDepProvider().GetResourceFactory().SliceFromBytes(data)
	if err != nil {
		return nil
	}
	for _, r := range resources {
		nodes = append(nodes, &r.RNode)
	}
	return nodes
}

func TestDocumentPrintsWhatKustomizePrints(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 30) + "end"
	for name, text := range map[string]string{
		"keys in order":         "z: 1\na2: 1\na10: 1\nB: 1\n_a: 1\n\"1\": 1\na-b: 1\nab: 1\na.b: 1\na01: 1\na1: 1\nk8s: 1\n",
		"lists":                 "a:\n- b: 1\n  c: 2\n- - 1\n  - - 2\n- []\n- {}\n- [x, {y: z}]\n",
		"nothing":               "a: {}\nb: []\nc: null\nd:\ne: ~\n",
		"bools":                 "a: true\nb: False\nc: yes\nd: \"yes\"\ne: on\nf: 'true'\n",
		"numbers":               "a: 0\nb: -5\nc: 1234567890123\nd: 0.5\ne: -1.25\n",
		"strings like numbers":  "a: \"1\"\nb: '1.5'\nc: \"0x1F\"\nd: \"1e3\"\ne: \"12:30:45\"\nf: \"0b1\"\ng: '08'\nh: \"1_000\"\ni: \".5\"\nj: '+1'\nk: \"0b-1\"\n",
		"strings unlike them":   "a: 1.2.3\nb: 10.0.0.1\nc: 100m\nd: 1Gi\ne: 12:75\nf: .status.phase\ng: -x\nh: 0x\ni: 1.2.3.4:80\nj: 1e999\nk: 0 0 * * *\n",
		"strings like others":   "a: \"null\"\nb: ''\nc: \"~\"\nd: \"2001-01-01\"\ne: \"2001-12-14t21:59:43.10-05:00\"\nf: '2001-1-41'\n",
		"indicators":            "a: '- x'\nb: '? y'\nc: 'a: b'\nd: 'a #b'\ne: '#'\nf: '[x'\ng: '---x'\nh: 'x:'\ni: \"it's\"\nj: '''a'': \"b\"'\nk: '-'\n",
		"spaces around":         "a: ' x'\nb: 'x '\nc: ' '\n",
		"lines":                 "a: |\n  x\n  y\nb: |-\n  x\n   y\nc: |+\n  x\n\n\nd: \"x \\ny\"\ne: \"x\\ny \"\nf: 'x\n\n  y'\n",
		"lines within":          "a:\n- |\n  x\n- b: |\n    y\n\n    z\n  c: 1\n- - |-\n    z\n",
		"folded":                "a: >\n  x y\n  z\nb: >-\n  x\n  y\n",
		"tabs":                  "a: \"x\\ty\"\nb: |\n  x\n  \ty\n",
		"long":                  "a: " + long + "\nb: '" + long + " it''s: ' \nc:\n- - \"" + long + "\\t " + long + "  x " + strings.Repeat("x", 90) + "  y\"\n",
		"long, with few spaces": "a: " + strings.Repeat("x", 100) + "  " + strings.Repeat("y", 100) + " z\n",
		"unicode":               "a: grüße\nb: \"日本語 " + long + "\"\nc: \"\U0001f600 x\"\nd: '\u00a0'\n",
		"comments":              "# head\n\na: 1 # line\n# foot\n\n# of b\nb:\n  # of c\n  c: |\n    x\n  # end\nd: # on the key\n- x # on x\n# last\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !compare(t, yaml.MustParse(text)) {
				t.Errorf("not printed directly:\n%s", text)
			}
		})
	}
}

func TestDocumentIsNotSureOfWhatIsOdd(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"an anchor":                      "a: &x {b: 1}\nc: *x\n",
		"an anchor without use":          "a: &x 1\n",
		"a merge key":                    "a: &x {b: 1}\nc: {<<: *x}\n",
		"a merge key in quotes":          "'<<': 1\n",
		"a tag":                          "a: !!binary aGk=\n",
		"a tag that says what is so":     "a: !!str 1\n",
		"a tag of one's own":             "a: !own {b: 1}\n",
		"a key that is no string":        "1: a\n",
		"a key of several":               "? [a]\n: b\n",
		"a key twice":                    "a: 1\na: 2\n",
		"a long key":                     strings.Repeat("k", 129) + ": 1\n",
		"keys in a circle":               "k1B: 1\nk2: 2\nk10: 3\n",
		"keys in another circle":         "1.a: 1\n09: 2\n0B: 3\n",
		"a key with a number too large":  "a123456789012345678901: 1\n",
		"a time":                         "a: 2001-01-01\n",
		"an octal number":                "a: 0o17\n",
		"an old octal number":            "a: 017\n",
		"a hexadecimal number":           "a: 0x1F\n",
		"an exponent":                    "a: 1e3\n",
		"a float without fraction":       "a: 1.0\n",
		"a large number":                 "a: 123456789012345678901\n",
		"infinity":                       "a: .inf\n",
		"a folded text":                  "a: >\n  x\n\n  y\n",
		"a text that begins with a line": "a: |\n\n  x\n",
		"a text that begins with spaces": "a: |2\n    x\n",
		"a null within brackets":         "a: {b: }\n",
		"a comment within brackets":      "a: [b, # c\n  d]\n",
		"a comment on a key in brackets": "a: {b: c,\n  # d\n  e: f}\n",
		"a comment after empty lines":    "a: |+\n  b\n\n\n# c\n",
		"a comment with a text":          "a: | # c\n  b\n",
		"a control character":            "a: \"\\u0007\"\n",
		"a line separator":               "a: \"x\\u2028y\"\n",
		"a carriage return":              "a: \"x\\r\\ny\"\n",
		"a list at the top":              "- a\n",
		"a text at the top":              "a\n",
		"depth":                          strings.Repeat("{a: ", 200) + "1" + strings.Repeat("}", 200) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if compare(t, yaml.MustParse(text)) {
				t.Errorf("printed directly:\n%s", text)
			}
		})
	}
	if compare(t, nil) || compare(t, yaml.NewRNode(nil)) {
		t.Error("nothing is printed directly")
	}
	for name, value := range map[string]*yaml.Node{ // no text reads as these, but kustomize makes some
		"a number in quotes":              {Kind: yaml.ScalarNode, Tag: yaml.NodeTagInt, Value: "1", Style: yaml.DoubleQuotedStyle},
		"an octal number without tag":     {Kind: yaml.ScalarNode, Value: "0o-7"},
		"a comment at the end of a block": {Kind: yaml.MappingNode, Content: []*yaml.Node{yaml.NewStringRNode("b").YNode(), yaml.NewStringRNode("c").YNode()}, FootComment: "# x"},
		"nothing":                         {},
	} {
		node := yaml.NewMapRNode(nil)
		node.YNode().Content = []*yaml.Node{yaml.NewStringRNode("a").YNode(), value}
		if compare(t, node) {
			t.Errorf("%s is printed directly", name)
		}
	}
}

func TestDocumentLeavesTheObjectAsItWas(t *testing.T) {
	t.Parallel()
	node := yaml.MustParse("b: 1\na:\n  d: [x]\n  c: |\n    y\n")
	before := node.MustString()
	if _, sure := encode.Document(node); !sure || node.MustString() != before {
		t.Errorf("the object became\n%s", node.MustString())
	}
}

var corpus = flag.String("corpus", "", "a directory whose YAML files to print, besides those of this module's requirements")

// Every field of every kind of Kubernetes, and what else is at hand: -corpus "$(go env GOMODCACHE)" has ten thousand
// objects.
func TestDocumentPrintsObjectsOfKubernetes(t *testing.T) {
	t.Parallel()
	dirs := []string{*corpus}
	for module, within := range map[string]string{"k8s.io/api": "testdata/HEAD", "sigs.k8s.io/kustomize/api": "", "sigs.k8s.io/kustomize/kyaml": ""} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, filepath.Join(strings.TrimSpace(string(out)), within))
	}
	direct, all := 0, 0
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
			if ext := filepath.Ext(name); err != nil || entry.IsDir() || ext != ".yaml" && ext != ".yml" {
				return err
			}
			data, err := os.ReadFile(name)
			if err != nil || bytes.Contains(data, []byte("kind: List")) && len(data) > 1<<20 {
				return err
			}
			for _, node := range objects(data) {
				all++
				if compare(t, node) {
					direct++
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d objects printed directly (%.1f %%)", direct, all, 100*float64(direct)/float64(all))
	if all < 200 || direct*10 < all*9 {
		t.Errorf("%d of %d objects printed directly, want 90 %% of at least 200", direct, all)
	}
}
