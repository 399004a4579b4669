package encode_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// More than a few: go test -run Any -rapid.checks 100000.
func TestDocumentPrintsAnyNodeAsKustomizeDoes(t *testing.T) {
	t.Parallel()
	share := share{T: t}
	rapid.Check(t, func(rt *rapid.T) {
		d := nodeDrawer{T: rt, odd: rapid.IntRange(0, 3).Draw(rt, "odd") == 0}
		root := d.mapping(0)
		if d.one("document", 4) == 0 {
			root = &yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{root}}
			d.comment(root)
		}
		share.count(compare(rt, yaml.NewRNode(root)))
	})
	share.print()
}

func TestDocumentPrintsAnyTextAsKustomizeDoes(t *testing.T) {
	t.Parallel()
	share := share{T: t}
	rapid.Check(t, func(rt *rapid.T) {
		d := textDrawer{T: rt}
		d.mapping(0, "")
		if node, err := yaml.Parse(d.out.String()); err == nil {
			share.count(compare(rt, node))
		}
	})
	share.print()
}

func FuzzDocument(f *testing.F) {
	for _, seed := range []string{
		"a: 1\n", "# x\na:\n- b: |\n    x\n  # y\n  c: >-\n    z\n", "a: {b: [c, 'd', \"e\\t\"]}\n", "a: &x 1\nb: *x\n<<: {c: 1}\n", "a: 0o7\nb: 0b-1\nc: 1:2\nd: 2001-1-1 1:2:3\n",
		"a: " + strings.Repeat("x ", 60) + "\nb: |+\n  x\n\n", "? a\n: b\n", "a: !!binary aGk=\nb: !x y\nc: !!str 1\n", "a10: y\na9: Yes\na: ~\n", "a: 'x\n\n  y '\nb: \"\\U0001F600\\u2028\\xA0\"\n",
	} {
		f.Add([]byte(seed))
		f.Add([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  " + strings.ReplaceAll(strings.TrimSpace(seed), "\n", "\n  ") + "\n"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !bytes.ContainsRune(data, '*') { // kustomize ends the process when an alias is within what it stands for
			for _, node := range objects(data) {
				compare(t, node)
			}
		}
		if node, err := yaml.Parse(string(data)); err == nil {
			compare(t, node)
		}
	})
}

// share counts what was printed directly.
type share struct {
	*testing.T
	direct, all int
}

func (s *share) count(direct bool) {
	if s.all++; direct {
		s.direct++
	}
}

func (s *share) print() {
	s.Logf("%d of %d printed directly (%.1f %%)", s.direct, s.all, 100*float64(s.direct)/float64(s.all))
	if s.direct*10 < s.all {
		s.Error("too few to say anything")
	}
}

var words = []string{
	"", "a", "web", "x y", "é", "日本", "\U0001f600", "\u00a0", "\t", " ", "  ", "\n", "\n\n", "\n ", "\n\t", "- ", "-", "--- ", "---", "...", "? ", "?", ": ", ":", " #", "#", "# ", "'", "\"", "\\", "{", "}", "[", "]", ",", "&", "*", "!", "|", ">", "%", "@", "`", "=",
	"<<", "<&>", "~", "null", "Null", "true", "TRUE", "yes", "No", "on", "OFF", "y", "N", "0", "1", "7", "08", "017", "0o17", "0o-7", "0x1f", "0b1", "0b-1", "-0b1", "1_0", "_", "+", "+1", "-5", "-0", ".5", ".", "1.", "1.0", "0.25", "1.5e3", "1e999", ".inf", "-.INF", ".nan",
	"12:30", "190:20:30.15", "2001-01-01", "2001-12-14t21:59:43.10-05:00", "2001-1-1 1:2:3", "9223372036854775807", "18446744073709551615", "123456789012345678901", "10.0.0.1", "100m", "1Gi", "aGk=",
	"some words that fill a line of the text until it has to be broken somewhere", strings.Repeat("x", 90), strings.Repeat("y", 79) + " ",
}

// hostile words are not printed directly.
var hostile = []string{"\u2028", "\u0085", "\ufeff", "\x7f", "\x00", "\x1b", "\r", "\r\n", "\xff", " \n"}

// drawWord returns text that means something to YAML, or words of it.
func drawWord(t *rapid.T) string {
	word := rapid.SampledFrom(words)
	switch rapid.IntRange(0, 29).Draw(t, "form") {
	case 0:
		word = rapid.SampledFrom(append(hostile, words...))
		fallthrough
	case 1, 2, 3:
		return strings.Join(rapid.SliceOfN(word, 2, 8).Draw(t, "words"), "")
	case 4, 5, 6:
		return strings.Join(rapid.SliceOfN(word, 2, 6).Draw(t, "words"), " ")
	case 7, 8, 9:
		return rapid.StringOfN(rapid.RuneFrom([]rune("a1-+_.:eEx0bon \n\t'\"#")), 0, 8, -1).Draw(t, "characters")
	case 10:
		return rapid.String().Draw(t, "string")
	case 11, 12:
		return fmt.Sprint(rapid.Int64().Draw(t, "int"))
	case 13, 14:
		return fmt.Sprint(rapid.Float64Range(-1e6, 1e6).Draw(t, "float"))
	}
	return word.Draw(t, "word")
}

type nodeDrawer struct {
	*rapid.T
	// odd nodes have what makes kustomize's way a long one.
	odd bool
}

func (d nodeDrawer) one(label string, of int) int { return rapid.IntRange(0, of-1).Draw(d.T, label) }

func (d nodeDrawer) node(depth int) *yaml.Node {
	switch d.one("kind", 8) {
	case 0, 1:
		if depth < 5 {
			return d.mapping(depth)
		}
	case 2:
		if depth < 5 {
			return d.sequence(depth)
		}
	case 3:
		if d.odd && d.one("alias", 20) == 0 {
			return &yaml.Node{Kind: yaml.AliasNode, Value: "x", Alias: d.scalar(drawWord(d.T))}
		}
	}
	return d.scalar(drawWord(d.T))
}

func (d nodeDrawer) scalar(value string) *yaml.Node {
	node := &yaml.Node{Kind: yaml.ScalarNode, Value: value}
	node.Tag = rapid.SampledFrom([]string{"!!str", "!!str", "!!str", "!!str", "!!str", ""}).Draw(d.T, "tag")
	if d.odd {
		node.Tag = rapid.SampledFrom([]string{"!!str", "", "!!int", "!!bool", "!!null", "!!float"}).Draw(d.T, "tag")
	}
	if d.one("natural", 2) == 0 { // as kustomize reads it
		parsed, err := yaml.Parse(value)
		if err == nil && parsed.YNode().Kind == yaml.ScalarNode {
			node.Tag, node.Value = parsed.YNode().Tag, parsed.YNode().Value
		}
	}
	if node.Tag == "!!str" || node.Tag == "" || d.odd {
		node.Style = rapid.SampledFrom([]yaml.Style{0, 0, 0, yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle, yaml.LiteralStyle, yaml.FoldedStyle}).Draw(d.T, "style")
	}
	d.decorate(node)
	return node
}

func (d nodeDrawer) mapping(depth int) *yaml.Node {
	node := &yaml.Node{Kind: yaml.MappingNode, Tag: rapid.SampledFrom([]string{"", "!!map"}).Draw(d.T, "tag")}
	for i := range d.one("pairs", 6) {
		key := drawWord(d.T)
		if d.one("simple", 4) != 0 {
			key = rapid.StringOfN(rapid.RuneFrom([]rune("abB019-_./")), 0, 6, -1).Draw(d.T, "key") + fmt.Sprint("k", i)
		}
		node.Content = append(node.Content, d.key(key), d.node(depth+1))
	}
	d.collection(node)
	return node
}

func (d nodeDrawer) key(value string) *yaml.Node {
	if d.odd {
		return d.scalar(value)
	}
	key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
	d.comment(key)
	return key
}

func (d nodeDrawer) sequence(depth int) *yaml.Node {
	node := &yaml.Node{Kind: yaml.SequenceNode, Tag: rapid.SampledFrom([]string{"", "!!seq"}).Draw(d.T, "tag")}
	for range d.one("items", 4) {
		node.Content = append(node.Content, d.node(depth+1))
	}
	d.collection(node)
	return node
}

func (d nodeDrawer) collection(node *yaml.Node) {
	if d.one("flow", 6) == 0 {
		node.Style = yaml.FlowStyle
	}
	d.decorate(node)
}

// decorate gives the node what nodes may have besides their content.
func (d nodeDrawer) decorate(node *yaml.Node) {
	d.comment(node)
	if !d.odd || d.one("decorated", 10) != 0 {
		return
	}
	switch d.one("decoration", 4) {
	case 0:
		node.Anchor = "x"
	case 1:
		node.Tag = rapid.SampledFrom([]string{"!!timestamp", "!!binary", "!!merge", "!!map", "!own", "!", "tag:yaml.org,2002:str", "!!int"}).Draw(d.T, "odd tag")
	case 2:
		node.Style |= yaml.TaggedStyle
	case 3:
		node.Style |= rapid.SampledFrom([]yaml.Style{yaml.FlowStyle, yaml.LiteralStyle, yaml.DoubleQuotedStyle}).Draw(d.T, "odd style")
	}
}

func (d nodeDrawer) comment(node *yaml.Node) {
	if d.one("comment", 12) != 0 {
		return
	}
	text := rapid.SampledFrom([]string{"# x", "# x\n# y", "# x\n\n# y", "#", "no sign", "# a: b", "# {", "#\ttab"}).Draw(d.T, "text")
	if d.odd {
		text = rapid.SampledFrom([]string{text, "# \r\nx: y", "#\u2028x: y", "# x\n", "\n# x", "# é"}).Draw(d.T, "odd text")
	}
	switch d.one("which", 3) {
	case 0:
		node.HeadComment = text
	case 1:
		node.LineComment = text
	default:
		node.FootComment = text
	}
}

// textDrawer writes YAML as people do, with comments, empty lines and odd indentation everywhere.
type textDrawer struct {
	*rapid.T
	out strings.Builder
}

func (d *textDrawer) one(label string, of int) int {
	return rapid.IntRange(0, of-1).Draw(d.T, label)
}

// line ends a line and may put others after it.
func (d *textDrawer) line(indent string) {
	if d.one("line comment", 8) == 0 {
		d.out.WriteString(" # " + rapid.SampledFrom([]string{"x", "a: b", "- c", "é", "|", "\"", "[x"}).Draw(d.T, "comment"))
	}
	d.out.WriteString("\n")
	for d.one("more", 7) == 0 {
		switch d.one("which", 3) {
		case 0:
			d.out.WriteString("\n")
		case 1:
			d.out.WriteString(indent + "# own line\n")
		case 2:
			d.out.WriteString(strings.Repeat(" ", d.one("indent", 9)) + "# somewhere\n")
		}
	}
}

// mapping writes pairs; the first stands where it is.
func (d *textDrawer) mapping(depth int, indent string) {
	for i := range 1 + d.one("pairs", 5) {
		if i > 0 {
			d.out.WriteString(indent)
		}
		key := rapid.SampledFrom([]string{"name", "a10", "a9", "B", "data", "x-y", "x.y/z", "\"q\"", "'1'", "on", "kind", "spec"}).Draw(d.T, "key")
		if d.one("other", 6) != 0 {
			key = fmt.Sprint("k", (i*7)%10, key)
			key = strings.NewReplacer("\"", "", "'", "").Replace(key)
		}
		d.out.WriteString(key + ":")
		switch kind := d.one("kind", 6); {
		case kind == 0 && depth < 5:
			d.line(indent + "  ")
			below := indent + strings.Repeat(" ", 2+2*d.one("deeper", 2))
			d.out.WriteString(below)
			d.mapping(depth+1, below)
		case kind == 1 && depth < 5:
			d.line(indent)
			below := indent + strings.Repeat(" ", 2*d.one("deeper", 2))
			d.out.WriteString(below)
			d.sequence(depth+1, below)
		default:
			d.out.WriteString(" ")
			d.value(indent + "  ")
		}
	}
}

func (d *textDrawer) sequence(depth int, indent string) {
	for i := range 1 + d.one("items", 3) {
		if i > 0 {
			d.out.WriteString(indent)
		}
		d.out.WriteString("- ")
		switch kind := d.one("kind", 5); {
		case kind == 0 && depth < 5:
			d.mapping(depth+1, indent+"  ")
		case kind == 1 && depth < 5:
			d.sequence(depth+1, indent+"  ")
		default:
			d.value(indent + "  ")
		}
	}
}

// value writes what ends a line, or the lines of a text.
func (d *textDrawer) value(indent string) {
	switch d.one("form", 10) {
	case 0:
		header := rapid.SampledFrom([]string{"|", "|-", "|+", ">", ">-", ">+", "|2", "| # comment", "> # comment"}).Draw(d.T, "header")
		d.out.WriteString(header + "\n")
		for range 1 + d.one("lines", 4) {
			switch line := rapid.SampledFrom([]string{"text", "more words", " indented", "\ttab", "", "# no comment", "a: b", "ends ", "é", "---", strings.Repeat("long ", 30) + "x"}).Draw(d.T, "line"); line {
			case "":
				d.out.WriteString("\n")
			default:
				d.out.WriteString(indent + line + "\n")
			}
		}
		return
	case 1:
		d.out.WriteString("\"" + strings.NewReplacer("\\", "\\\\", "\"", "\\\"", "\n", "\\n", "\r", "\\r", "\x00", "\\0").Replace(drawWord(d.T)) + "\"")
	case 2:
		d.out.WriteString("'" + strings.NewReplacer("'", "''", "\n", "\n\n"+indent).Replace(drawWord(d.T)) + "'")
	case 3:
		d.out.WriteString(rapid.SampledFrom([]string{"{}", "[]", "{a: b, c: [d, 'e']}", "[1, yes, ~, x]", "{a: , b: c}", "[ # c\n" + indent + "a ]", "{a: \"x\n" + indent + "y\"}", "&x y", "!!str 1"}).Draw(d.T, "flow"))
	case 4:
		d.out.WriteString(strings.ReplaceAll(drawWord(d.T), "\n", "\n"+indent))
	default:
		d.out.WriteString(rapid.SampledFrom([]string{"x", "web:v1", "80", "true", "100m", "yes", "1.5", "", "two words", "10.0.0.1", "\"80\"", "'true'"}).Draw(d.T, "plain"))
	}
	d.line(indent)
}
